"""OpenAPI 3.1 of the admin port, built from the same models the calls use."""

from __future__ import annotations

from gateway import __version__
from gateway.server.offices import NewKey

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_TEAM = {"name": "team", "in": "query", "required": False, "schema": {"type": "string"}}
Operation = dict[str, object]


def document() -> dict[str, object]:
    """The document served at /admin/v1/openapi.json."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Joulegate admin API", "version": __version__, "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR, "NewKey": NewKey.model_json_schema()},
        },
        "paths": _paths(),
    }


def _paths() -> dict[str, dict[str, Operation]]:
    return {
        "/metrics": {"get": _open("Prometheus metrics", "text/plain")},
        "/livez": {"get": _open("Whether the process turns", "application/json")},
        "/healthz": {"get": _open("The same as /livez", "application/json")},
        "/readyz": {"get": _open("Whether traffic should come here; 503 says no", "application/json")},
        "/admin/v1/overview": {"get": _operation("Everything the page draws")},
        "/admin/v1/keys": {
            "get": _operation("Every key, without the key"),
            "post": _operation("Make a key; its text is in this answer and never again", status="201", body="NewKey"),
        },
        "/admin/v1/keys/{id}": {"delete": _operation("Withdraw a key", parameters=[_ID])},
        "/admin/v1/teams": {"get": _operation("Teams")},
        "/admin/v1/budgets": {"get": _operation("Declared budgets and where they stand")},
        "/admin/v1/usage": {"get": _operation("Usage by model and backend", parameters=[_TEAM])},
        "/admin/v1/backends": {"get": _operation("Backends: state, load, modelled power")},
        "/admin/v1/policies": {"get": _operation("The rules in force")},
        "/admin/v1/policies/reload": {"post": _operation("Read every document again: all of it, or none")},
        "/admin/v1/decisions/{id}": {"get": _operation("Why a recent request went where it went", parameters=[_ID])},
    }


def _operation(
    summary: str, *, status: str = "200", parameters: list[dict[str, object]] | None = None, body: str | None = None
) -> Operation:
    operation: Operation = {
        "summary": summary,
        "responses": {
            status: {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}},
            "default": {
                "description": "Refused",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _open(summary: str, content_type: str) -> Operation:
    """An operation that asks for no token."""
    responses = {"200": {"description": "Done", "content": {content_type: {"schema": {}}}}}
    return {"summary": summary, "security": [], "responses": responses}

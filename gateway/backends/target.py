"""Where a backend is and how it is trusted, checked at load."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from yarl import URL

from gateway.domain.catalog import Backend


@dataclass(frozen=True, slots=True)
class Target:
    """`host` as DNS knows it, `authority` as the Host header says it, `base` the path before ours."""

    host: str
    port: int
    authority: str
    base: str
    tls: ssl.SSLContext | None


def target_of(backend: Backend) -> Target:
    """From configuration alone. Raises ValueError for a url or CA file that can not be used."""
    url = URL(backend.url)
    if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
        raise ValueError(f"backend {backend.name}: url must be http:// or https:// with a host")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise ValueError(f"backend {backend.name}: url must have no user, password, query or fragment")
    try:
        url.raw_host.encode("idna")
    except UnicodeError as fault:
        raise ValueError(f"backend {backend.name}: url has a host name that can not be") from fault
    return Target(
        host=url.raw_host,
        port=url.port,
        authority=url.host_port_subcomponent or url.raw_host,
        base=url.raw_path.rstrip("/"),
        tls=_tls(backend) if url.scheme == "https" else None,
    )


def _tls(backend: Backend) -> ssl.SSLContext:
    """Verified always; against the backend's own CA file where it names one."""
    try:
        context = ssl.create_default_context(cafile=backend.ca_file)
    except (OSError, ssl.SSLError) as fault:
        raise ValueError(f"backend {backend.name}: ca_file can not be used: {fault}") from fault
    context.set_alpn_protocols(["http/1.1"])
    return context

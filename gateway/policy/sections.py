"""The words of `policies/*.yaml`, and nothing else: what may be written, and what this version does not act on yet.

A word that DESIGN promises for later is refused with a sentence that says what to write instead; it is never ignored.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from gateway.domain.documents import Section
from gateway.policy.money import exact

SCOPES = ("org", "team", "project", "key", "model")

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ScopeValue = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9._:@/-]{1,128})$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$")]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Tokens = Annotated[int, Field(ge=0, le=100_000_000)]
Exact = Annotated[Decimal, BeforeValidator(exact)]


class Rule(Section):
    """Base of the parts below: a value is what it is written as, "5" is not 5."""

    model_config = ConfigDict(strict=True)


def _only(*allowed: str, later: dict[str, str]) -> AfterValidator:
    """One of `allowed`; a word of `later` is refused with its own sentence."""

    def check(word: str) -> str:
        if word in later:
            raise ValueError(f"'{word}' is not acted on by this version: {later[word]}")
        if word not in allowed:
            raise ValueError(f"'{word}' is not one of {', '.join(allowed)}")
        return word

    return AfterValidator(check)


def _not_yet(what: str) -> BeforeValidator:
    """A key that is known, and that this version would have to ignore."""

    def refuse(value: object) -> None:
        raise ValueError(f"is not acted on by this version: {what}")

    return BeforeValidator(refuse)


def _known_scope(scope: dict[str, str]) -> dict[str, str]:
    for level in scope:
        if level not in SCOPES:
            raise ValueError(f"'{level}' is not one of {', '.join(SCOPES)}")
    return scope


Scope = Annotated[dict[str, ScopeValue], AfterValidator(_known_scope)]


class ClassSection(Rule):
    """A promise on latency, and the share of requests that must keep it."""

    ttft_ms: Milliseconds | None = None
    tpot_ms: Milliseconds | None = None
    e2e_ms: Milliseconds | None = None
    deadline_ms: Milliseconds | None = None
    target: Annotated[Decimal, BeforeValidator(exact), Field(gt=0, lt=1)] = Decimal("0.99")
    deferrable: bool = False
    on_unmeetable: Literal["serve_fastest", "reject"] = "serve_fastest"

    @model_validator(mode="after")
    def _acted_on(self) -> ClassSection:
        if self.deferrable:
            raise ValueError("deferrable: this version sends every request at once; leave it out, the deadline stays")
        return self


class ModelSection(Rule):
    """A name that clients put in "model", and who may serve it."""

    name: ModelName
    members: Annotated[list[str], Field(min_length=1)]
    objective: Annotated[
        str,
        _only(
            "cost",
            "energy",
            "carbon",
            "priority",
            later={"weighted": "'priority' keeps a fixed order", "blend": "rank by one of cost, energy, carbon"},
        ),
    ] = "cost"
    sticky: Literal["session"] | None = None
    sla_class: Annotated[Id | None, Field(alias="class")] = None


class BudgetSection(Rule):
    """A limit on what a tenant spends in a window. Several units may stand together; the first that is full denies."""

    name: Id
    scope: Annotated[Scope, Field(min_length=1)]
    limit_usd: Exact | None = None
    limit_wh: Exact | None = None
    limit_joules: Exact | None = None
    limit_grams: Exact | None = None
    limit_tokens: Exact | None = None
    limit_requests: Exact | None = None
    window: Literal["minute", "hour", "day", "week", "month", "year", "total"]
    zone: str = "UTC"
    mode: Literal["enforce", "observe"] = "enforce"
    on_exhausted: Annotated[
        str,
        _only("deny", "allow_and_alert", later={"route_to": "write 'deny', or 'allow_and_alert' to go on and be told"}),
    ] = "deny"
    on_overrun: Annotated[
        str, _only("finish_and_flag", later={"cut": "a running answer is finished and charged ('finish_and_flag')"})
    ] = "finish_and_flag"
    when_redis_is_down: Annotated[
        str, _only("closed", later={"bounded": "while the ledger is away requests are refused ('closed')"})
    ] = "closed"
    route_to: Annotated[None, _not_yet("write 'on_exhausted: deny' or 'allow_and_alert'")] = None
    outage_allowance_usd: Annotated[None, _not_yet("while the ledger is away requests are refused")] = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> BudgetSection:
        if self.limit_wh is not None and self.limit_joules is not None:
            raise ValueError("limit_wh and limit_joules say the same thing twice; keep one")
        if all(getattr(self, name) is None for name in type(self).model_fields if name.startswith("limit_")):
            raise ValueError("has no limit; write limit_usd, limit_wh, limit_grams, limit_tokens or limit_requests")
        return self


class LimitSection(Rule):
    """A rate: how many requests and tokens a minute, how many requests at once. Reached, it answers 429."""

    name: Id | None = None
    scope: Annotated[Scope, Field(min_length=1)]
    requests_per_minute: Exact | None = None
    tokens_per_minute: Exact | None = None
    concurrent: Exact | None = None
    mode: Literal["enforce", "observe"] = "enforce"

    @model_validator(mode="after")
    def _has_one_limit(self) -> LimitSection:
        if self.requests_per_minute is None and self.tokens_per_minute is None and self.concurrent is None:
            raise ValueError("has no limit; write requests_per_minute, tokens_per_minute or concurrent")
        return self


class ExpectSection(Rule):
    """What a case expects. route: the first candidates, in order. reasons: of single members, wherever they stand."""

    route: list[str] | None = None
    reasons: dict[str, str] = Field(default_factory=dict)
    reject: Literal["no_backend", "no_backend_meets_sla"] | None = None

    @model_validator(mode="after")
    def _expects_something(self) -> ExpectSection:
        if self.reject is not None and self.route is not None:
            raise ValueError("'route' and 'reject' can not both come true; keep one")
        if self.route is None and self.reject is None and not self.reasons:
            raise ValueError("expects nothing; write route, reasons or reject")
        return self


class CaseSection(Rule):
    """Given this request and these speeds and loads, that route. A member may be named by its backend alone."""

    name: Annotated[str, Field(min_length=1)]
    model: ModelName | None = None
    sla_class: Annotated[Id | None, Field(alias="class")] = None
    input_tokens: Tokens = 500
    output_tokens: Tokens = 200
    stream: bool = True
    needs: list[str] = Field(default_factory=lambda: ["chat"])
    waited_ms: Annotated[int, Field(ge=0)] = 0
    ttft_p95_ms: dict[str, Milliseconds] = Field(default_factory=dict)
    tpot_p95_ms: dict[str, Exact] = Field(default_factory=dict)
    cost_usd: dict[str, Exact] = Field(default_factory=dict)
    in_flight: dict[str, Annotated[int, Field(ge=0, le=100_000)]] = Field(default_factory=dict)
    down: list[str] = Field(default_factory=list)
    drained: list[str] = Field(default_factory=list)
    tried: list[str] = Field(default_factory=list)
    conversation_at: str | None = None
    expect: ExpectSection


class PolicySection(Rule):
    """A whole file. All of it is optional: classes, models and budgets may stand in files of their own."""

    schema_: Annotated[Literal["joulegate.policy/1"], Field(alias="schema")] = "joulegate.policy/1"
    default_class: Id | None = None
    classes: dict[Id, ClassSection] = Field(default_factory=dict)
    models: list[ModelSection] = Field(default_factory=list)
    budgets: list[BudgetSection] = Field(default_factory=list)
    limits: list[LimitSection] = Field(default_factory=list)
    cases: list[CaseSection] = Field(default_factory=list)


def schema() -> dict[str, Any]:
    """JSON schema of a policy file, for editors."""
    return PolicySection.model_json_schema(by_alias=True)

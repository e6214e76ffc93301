"""The OpenAI usage object: read with suspicion, and written with the price beside it."""

from __future__ import annotations

from typing import Any

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.usage import Basis, TokenUsage

TOKENS_SANE_MAX = 2**31  # no request of today comes within a factor of 100; what is above is garbage or an attack


def read_usage(kind: CallKind, usage: object) -> TokenUsage | None:
    """What the backend says it used; None for the whole if any part is missing, mistyped or impossible.

    `prompt_tokens` includes `cached_tokens`, `completion_tokens` includes `reasoning_tokens`. A server that keeps
    reasoning beside the completion (its total is prompt + completion + reasoning) is understood too.
    """
    if not isinstance(usage, dict):
        return None
    prompt_details = _details(usage, "prompt_tokens_details")
    completion_details = _details(usage, "completion_tokens_details")
    if prompt_details is None or completion_details is None:
        return None
    given = _tokens(usage, "prompt_tokens")
    output = _tokens(usage, "completion_tokens", 0 if kind is CallKind.EMBEDDING else None)
    cached = _tokens(prompt_details, "cached_tokens", 0)
    written = _tokens(prompt_details, "cache_write_tokens", 0)
    reasoning = _tokens(completion_details, "reasoning_tokens", 0)
    if given is None or output is None or cached is None or written is None or reasoning is None:
        return None
    if reasoning and usage.get("total_tokens") == given + output + reasoning:
        output += reasoning
    if cached + written > given or reasoning > output:
        return None
    return TokenUsage(given, cached, written, output, reasoning, Basis.PROVIDER)


def _details(usage: dict[str, Any], name: str) -> dict[str, Any] | None:
    details = usage.get(name)
    if details is None:
        return {}
    return details if isinstance(details, dict) else None


def _tokens(figures: dict[str, Any], name: str, default: int | None = None) -> int | None:
    value = figures.get(name)
    if value is None:
        return default
    return value if type(value) is int and 0 <= value <= TOKENS_SANE_MAX else None


def with_price(usage: dict[str, Any], bill: Bill, basis: str | None = None) -> dict[str, Any]:
    """The usage object and what it cost; a field whose figure is unknown or not for this caller is absent."""
    priced = dict(usage)
    if bill.usd_nanos is not None:
        priced["cost"] = _usd(bill.usd_nanos)
    detail = joulegate_fields(bill)
    if basis is not None:
        detail["basis"] = basis
    if detail:
        priced["joulegate"] = detail
    return priced


def joulegate_fields(bill: Bill) -> dict[str, Any]:
    """`usage.joulegate`: dollars, joules and grams as JSON numbers, nano-dollars as the exact integer."""
    nanos, session = bill.usd_nanos, bill.session_usd_nanos
    fields: dict[str, Any] = {
        "backend": bill.backend,
        "cost_usd": None if nanos is None else _usd(nanos),
        "cost_usd_nanos": nanos,
        "energy_joules": None if bill.energy_mj is None else bill.energy_mj / MJ_PER_JOULE,
        "energy_boundary": bill.energy_boundary,
        "energy_tier": bill.energy_tier,
        "carbon_grams": None if bill.carbon_ug is None else bill.carbon_ug / UG_PER_GRAM,
        "session_cost_usd": None if session is None else _usd(session),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _usd(nanos: int) -> float:
    return nanos / NANOS_PER_USD  # correctly rounded: below 2^53 nanos (9 million dollars) it reads back exactly


def usage_object(usage: TokenUsage) -> dict[str, Any]:
    """Our figures in OpenAI's words."""
    written: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_input_tokens:
        written["prompt_tokens_details"] = {"cached_tokens": usage.cached_input_tokens}
    if usage.reasoning_tokens:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return written


def priced_usage(usage: TokenUsage, bill: Bill) -> dict[str, Any]:
    """A usage object of our own making with its price; says its basis where the backend reported nothing sane."""
    basis = None if usage.basis is Basis.PROVIDER else usage.basis.value
    return with_price(usage_object(usage), bill, basis)

"""The OpenAI usage object: read with suspicion, and written with the price beside it."""

from __future__ import annotations

from typing import Any

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM
from gateway.domain.bill import Bill
from gateway.domain.call import CallKind
from gateway.domain.usage import Basis, TokenUsage

EMBEDDING, PROVIDER = CallKind.EMBEDDING, Basis.PROVIDER  # looking up an enum's member takes 0.15 us each time
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
    output = _tokens(usage, "completion_tokens", 0 if kind is EMBEDDING else None)
    cached = _tokens(prompt_details, "cached_tokens", 0) if prompt_details else 0
    written = _tokens(prompt_details, "cache_write_tokens", 0) if prompt_details else 0
    reasoning = _tokens(completion_details, "reasoning_tokens", 0) if completion_details else 0
    if given is None or output is None or cached is None or written is None or reasoning is None:
        return None
    if reasoning and usage.get("total_tokens") == given + output + reasoning:
        output += reasoning
    if cached + written > given or reasoning > output:
        return None
    return TokenUsage(given, cached, written, output, reasoning, PROVIDER)


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
    fields: dict[str, Any] = {}
    if bill.backend is not None:
        fields["backend"] = bill.backend
    if bill.usd_nanos is not None:
        fields["cost_usd"] = _usd(bill.usd_nanos)
        fields["cost_usd_nanos"] = bill.usd_nanos
    if bill.energy_mj is not None:
        fields["energy_joules"] = bill.energy_mj / MJ_PER_JOULE
    if bill.energy_boundary is not None:
        fields["energy_boundary"] = bill.energy_boundary
    if bill.energy_tier is not None:
        fields["energy_tier"] = bill.energy_tier
    if bill.carbon_ug is not None:
        fields["carbon_grams"] = bill.carbon_ug / UG_PER_GRAM
    if bill.session_usd_nanos is not None:
        fields["session_cost_usd"] = _usd(bill.session_usd_nanos)
    return fields


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
    basis = None if usage.basis is PROVIDER else usage.basis.value
    return with_price(usage_object(usage), bill, basis)

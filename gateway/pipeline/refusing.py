"""From what stood in the way to a refusal that names it and the remedy."""

from __future__ import annotations

from dataclasses import replace

from gateway.domain.amounts import MJ_PER_WH, NANOS_PER_USD, UG_PER_GRAM, Unit
from gateway.domain.budgets import Balance, Denial
from gateway.domain.faults import InvalidRequest
from gateway.domain.record import Outcome
from gateway.domain.refusal import Refusal, RefusalCode
from gateway.domain.route import Reject
from gateway.domain.tenancy import Identity
from gateway.pipeline.headers import decimal_text, duration_text, limit_headers

CONCURRENCY_RETRY_S = 1.0

OUTCOME_OF = {
    RefusalCode.INVALID_REQUEST: Outcome.INVALID,
    RefusalCode.REQUEST_TOO_LARGE: Outcome.INVALID,
    RefusalCode.UNSUPPORTED_ENCODING: Outcome.INVALID,
    RefusalCode.REQUEST_TIMEOUT: Outcome.INVALID,
    RefusalCode.METHOD_NOT_ALLOWED: Outcome.INVALID,
    RefusalCode.NOT_FOUND: Outcome.INVALID,
    RefusalCode.INVALID_API_KEY: Outcome.NOT_ALLOWED,
    RefusalCode.MODEL_NOT_ALLOWED: Outcome.NOT_ALLOWED,
    RefusalCode.MODEL_NOT_FOUND: Outcome.NOT_ALLOWED,
    RefusalCode.BUDGET_EXHAUSTED: Outcome.BUDGET_DENIED,
    RefusalCode.RATE_LIMIT_EXCEEDED: Outcome.RATE_LIMITED,
    RefusalCode.NO_BACKEND: Outcome.NO_BACKEND,
    RefusalCode.NO_BACKEND_MEETS_SLA: Outcome.NO_BACKEND,
    RefusalCode.LEDGER_UNAVAILABLE: Outcome.UNAVAILABLE,
    RefusalCode.OVERLOADED: Outcome.UNAVAILABLE,
    RefusalCode.UPSTREAM_ERROR: Outcome.UPSTREAM_FAILED,
    RefusalCode.UPSTREAM_TIMEOUT: Outcome.UPSTREAM_FAILED,
    RefusalCode.INTERNAL_ERROR: Outcome.INTERNAL,
}

FAULT_CODES = {
    413: RefusalCode.REQUEST_TOO_LARGE,
    415: RefusalCode.UNSUPPORTED_ENCODING,
    408: RefusalCode.REQUEST_TIMEOUT,
}

WORDS = {
    Unit.USD_NANOS: ("$", NANOS_PER_USD, ""),
    Unit.ENERGY_MJ: ("", MJ_PER_WH, " Wh"),
    Unit.CARBON_UG: ("", UG_PER_GRAM, " g CO2e"),
    Unit.TOKENS: ("", 1, " tokens"),
    Unit.REQUESTS: ("", 1, " requests"),
    Unit.CONCURRENT: ("", 1, " requests at once"),
}


def refusal_of_fault(fault: InvalidRequest) -> Refusal:
    """The caller's request is malformed, too large or too slow."""
    code = FAULT_CODES.get(fault.status, RefusalCode.INVALID_REQUEST)
    return Refusal(code, fault.message, param=fault.param, detail_code=fault.code)


def refusal_of_reject(reject: Reject, identity: Identity) -> Refusal:
    """No member can serve; each one's reason is in the message, for keys that may see backends."""
    reasons = "; ".join(f"{passed.member}: {passed.reason.value}" for passed in reject.passed_over)
    code = RefusalCode.NO_BACKEND_MEETS_SLA if reject.code == "no_backend_meets_sla" else RefusalCode.NO_BACKEND
    why = f" ({reasons})" if reasons and "backend" in identity.expose else ""
    return Refusal(code, f"No backend can serve this request now{why}.", retry_after_s=reject.retry_after_s)


def refusal_of_denial(denial: Denial, identity: Identity, now_ms: int) -> Refusal:
    """A budget is spent (402), or a limit per minute or on concurrency is reached (429)."""
    counter = denial.counter
    end_ms = counter.window.end_ms
    left = None if end_ms is None else max(1, end_ms - now_ms)
    resets = "" if left is None else f" It resets in {duration_text(left)}."
    amounts = (
        f"limit {amount_text(denial.unit, denial.limit)}, spent {amount_text(denial.unit, denial.spent)},"
        f" held by requests in flight {amount_text(denial.unit, denial.held)},"
        f" this request needs {amount_text(denial.unit, denial.asked)}"
    )
    if counter.kind == "rate":
        wait_s = CONCURRENCY_RETRY_S if denial.unit is Unit.CONCURRENT or left is None else left / 1_000
        message = f"Rate limit '{counter.name}' is reached: {amounts}.{resets}"
        headers = tuple(limit_headers(identity, (balance_of(denial),), now_ms))
        return Refusal(
            RefusalCode.RATE_LIMIT_EXCEEDED, message, param=counter.name, retry_after_s=wait_s, headers=headers
        )
    message = f"Budget '{counter.name}' is exhausted: {amounts}.{resets}"
    if "limits" not in identity.expose:
        message = f"Budget '{counter.name}' is exhausted.{resets}"
    return Refusal(RefusalCode.BUDGET_EXHAUSTED, message, param=counter.name, budget_status=identity.budget_status)


def balance_of(denial: Denial) -> Balance:
    """Where the limit in the way stood; of the counter's other limits the ledger said nothing."""
    counter = replace(denial.counter, limits=((denial.unit, denial.limit),))
    return Balance(counter, {denial.unit: denial.spent}, {denial.unit: denial.held})


def amount_text(unit: Unit, value: int | None) -> str:
    """An amount for a person: `$0.25`, `12.5 Wh`; a member whose energy nobody knows has an unknown amount."""
    if value is None:
        return "an unknown amount"
    before, per_unit, after = WORDS[unit]
    if per_unit == MJ_PER_WH:  # thirds of a watt-hour have no end
        return f"{value / MJ_PER_WH:.6g}{after}"
    return f"{before}{decimal_text(value, per_unit)}{after}"

"""What an answer's headers say of its price, reduced to what the key may see."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.amounts import MJ_PER_JOULE, NANOS_PER_USD, UG_PER_GRAM, Amounts, Unit
from gateway.domain.bill import Bill
from gateway.domain.budgets import Balance
from gateway.domain.catalog import Member
from gateway.domain.tenancy import Identity

Headers = list[tuple[str, str]]

LIMITED_UNITS = {Unit.REQUESTS: "requests", Unit.TOKENS: "tokens"}


def bill_of(identity: Identity, member: Member, rated: Amounts, session_usd_nanos: int | None) -> Bill:
    """The rated amounts as this key's callers may see them."""
    sees_cost, sees_energy = "cost" in identity.expose, "energy" in identity.expose
    sees_backend = "backend" in identity.expose
    known = sees_energy and rated.energy_mj is not None
    return Bill(
        backend=member.backend if sees_backend else None,
        model=member.upstream_model if sees_backend else None,
        usd_nanos=rated.usd_nanos if sees_cost else None,
        energy_mj=rated.energy_mj if sees_energy else None,
        energy_boundary=member.rates.energy_boundary if known else None,
        energy_tier=member.rates.energy_tier if known else None,
        carbon_ug=rated.carbon_ug if sees_energy else None,
        session_usd_nanos=session_usd_nanos if sees_cost else None,
    )


def cost_headers(bill: Bill) -> Headers:
    """Headers of an answer whose cost is known. What is unknown or hidden has no header."""
    headers = where_headers(bill)
    if bill.usd_nanos is not None:
        headers.append(("x-joulegate-cost-usd", decimal_text(bill.usd_nanos, NANOS_PER_USD)))
    if bill.energy_mj is not None:
        headers.append(("x-joulegate-energy-joules", decimal_text(bill.energy_mj, MJ_PER_JOULE)))
        headers.append(("x-joulegate-energy-tier", bill.energy_tier or "E"))
    if bill.carbon_ug is not None:
        headers.append(("x-joulegate-carbon-grams", decimal_text(bill.carbon_ug, UG_PER_GRAM)))
    if bill.session_usd_nanos is not None:
        headers.append(("x-joulegate-session-cost-usd", decimal_text(bill.session_usd_nanos, NANOS_PER_USD)))
    return headers


def estimate_headers(bill: Bill) -> Headers:
    """Headers of a stream, which begins before its cost is known."""
    headers = where_headers(bill)
    if bill.usd_nanos is not None:
        headers.append(("x-joulegate-estimated-cost-usd", decimal_text(bill.usd_nanos, NANOS_PER_USD)))
    return headers


def where_headers(bill: Bill) -> Headers:
    """Which backend served, where the key may know."""
    if bill.backend is None:
        return []
    return [("x-joulegate-backend", bill.backend), ("x-joulegate-model", bill.model or "")]


def limit_headers(identity: Identity, balances: Iterable[Balance], now_ms: int) -> Headers:
    """`x-ratelimit-*` of the tightest limit on requests and on tokens, in the names every SDK user knows."""
    if "limits" not in identity.expose:
        return []
    tightest: dict[Unit, tuple[int, int, int | None]] = {}
    for balance in balances:
        if balance.counter.kind != "rate":
            continue
        for unit, limit in balance.counter.limits:
            if unit not in LIMITED_UNITS:
                continue
            left = max(0, limit - balance.spent.get(unit, 0) - balance.held.get(unit, 0))
            if unit not in tightest or left < tightest[unit][1]:
                tightest[unit] = (limit, left, balance.counter.window.end_ms)
    headers: Headers = []
    for unit, (limit, left, end_ms) in tightest.items():
        word = LIMITED_UNITS[unit]
        headers.append((f"x-ratelimit-limit-{word}", str(limit)))
        headers.append((f"x-ratelimit-remaining-{word}", str(left)))
        if end_ms is not None:
            headers.append((f"x-ratelimit-reset-{word}", duration_text(end_ms - now_ms)))
    return headers


def decimal_text(value: int, per_unit: int) -> str:
    """An integer of small units as plain decimals, exact, without exponent: 1_500_000 nanos are 0.0015.

    per_unit: a power of ten.
    """
    whole, part = divmod(value, per_unit)
    if not part:
        return str(whole)
    return f"{whole}.{part + per_unit}".replace(".1", ".", 1).rstrip("0")


def duration_text(ms: int) -> str:
    """Milliseconds as OpenAI writes a reset: `6m0s`, `1s`, `250ms`."""
    if ms < 1_000:
        return f"{max(0, ms)}ms"
    minutes, seconds = divmod(-(-ms // 1_000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or hours else "") + f"{seconds}s"

"""What a caller is told of the price of its request, already reduced to what its key may see."""

from __future__ import annotations

from gateway.domain.value import value


@value
class Bill:
    """Rated amounts of one request. `None`: unknown, or not for this caller; then the field is absent, never zero."""

    backend: str | None = None
    model: str | None = None
    usd_nanos: int | None = None
    energy_mj: int | None = None
    energy_boundary: str | None = None
    energy_tier: str | None = None
    carbon_ug: int | None = None
    session_usd_nanos: int | None = None

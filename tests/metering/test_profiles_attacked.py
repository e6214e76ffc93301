"""However a profile is mangled, it compiles or is refused with a place: never a crash, never a negative rate."""

from __future__ import annotations

from dataclasses import astuple
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.faults import BadDocument
from gateway.domain.site import GridFactor
from gateway.feeds.packaged import packaged_path
from gateway.metering.pricing import compile_rates
from gateway.metering.profiles import read_profile
from tests.metering.making import a_site

TEXTS = [
    packaged_path("policies", "profiles", *parts).read_text(encoding="utf-8").splitlines()
    for parts in (("llama-3.1-8b@1xb200.yaml",), ("demo", "swift.yaml"), ("demo", "steady.yaml"))
]
SITE = a_site("1.2", "0.10")
FRANCE = GridFactor("FR", Decimal("56.039"), 2023, "a table")
ODD = st.sampled_from(
    ["0", "-1", "1e40", "1e-40", "'1e999999'", "null", "''", "[]", "{}", "NO", "true", "999999999999", "0.1", "x"]
)


@given(st.sampled_from(TEXTS), st.integers(0, 60), ODD, st.booleans())
def test_a_mangled_profile_compiles_or_is_refused(lines: list[str], number: int, odd: str, dropped: bool) -> None:
    at = number % len(lines)
    key, colon, _ = lines[at].partition(":")
    mangled = [] if dropped or not colon else [f"{key}: {odd}"]
    text = "\n".join([*lines[:at], *mangled, *lines[at + 1 :]])
    try:
        rates = compile_rates(read_profile(text, file="x.yaml"), SITE, FRANCE)
    except BadDocument as fault:
        assert str(fault).startswith(("x.yaml:", "profile "))
        return
    for tier in rates.tiers:
        assert all(rate is None or rate >= 0 for side in (tier.marginal, tier.rated) for rate in astuple(side))
    assert rates.active_mw is None or rates.idle_mw is None or rates.active_mw >= rates.idle_mw

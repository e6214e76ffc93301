"""The policies that ship: they read, and every case in them comes true at the prices of shipped profiles."""

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.domain.catalog import Backend, Member, Snapshot
from gateway.domain.site import Site
from gateway.metering.pricing import compile_rates, marginal
from gateway.metering.profiles import read_profile
from gateway.policy.cases import run
from gateway.policy.documents import compile_policies, read_policy

POLICIES = Path(__file__).parents[2] / "policies"
SITE = Site("here", Decimal("1.2"), Decimal("0.12"))


def member(name: str, profile_id: str) -> Member:
    path = POLICIES / "profiles" / f"{profile_id}.yaml"
    profile = read_profile(path.read_text(), file=path.name)
    return Member(
        name=name,
        backend=name.partition("/")[0],
        upstream_model="m",
        rates=compile_rates(profile, SITE, None),
        latency=profile.latency,
        capabilities=profile.capabilities,
    )


@pytest.mark.parametrize(
    ("file", "members"),
    [
        ("demo.yaml", {f"{name}/chat": f"demo/{name}" for name in ("swift", "steady", "thrifty")}),
        ("chatbot.yaml", {"gpu-a/llama-70b": "llama-3.1-70b@4xh100", "hosted/llama-70b": "demo/swift"}),
    ],
)
def test_every_case_of_a_shipped_policy_comes_true(file: str, members: dict[str, str]) -> None:
    built = {name: member(name, profile) for name, profile in members.items()}
    pieces = compile_policies([read_policy((POLICIES / file).read_text(), file=file)], built)
    backends = {each.backend: Backend(each.backend, "http://x") for each in built.values()}
    snapshot = Snapshot("1", pieces.models, backends, pieces.classes, pieces.default_class, pieces.budgets)

    told = [run(case, snapshot, marginal) for case in pieces.cases]

    assert len(told) >= 4
    assert [verdict.sentence for verdict in told if not verdict.passed] == []

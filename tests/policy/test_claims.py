from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, Counter, Mode, WindowKind
from gateway.domain.faults import BadDocument
from gateway.domain.tenancy import Identity
from gateway.policy import claims as module
from gateway.policy.claims import Claims

NOW_MS = 1_795_400_000_000  # 2026-11-23 02:13:20 UTC
MINUTE_MS = 60_000


def a_budget(scope: Mapping[str, str], *, name: str = "b", usd: int = 100, **more: object) -> Budget:
    values: dict[str, object] = {"limits": {Unit.USD_NANOS: usd}, "window": WindowKind.DAY, **more}
    return Budget(name=name, scope=scope, **values)  # type: ignore[arg-type]


def an_identity(key_id: str = "k1", team: str = "support", org: str = "acme", project: str | None = None) -> Identity:
    return Identity(key_id, team, org, project)


def keys_of(claims: Claims, identity: Identity, model: str = "chat", session: str | None = None) -> list[str]:
    return [counter.key for counter in claims.counters(identity, model, session, NOW_MS)]


def only_declared(counters: tuple[Counter, ...]) -> list[Counter]:
    return [counter for counter in counters if counter.name]


def test_key_project_team_and_org_are_counted_with_no_budget_at_all() -> None:
    counters = Claims(()).counters(an_identity(project="bot"), "chat", None, NOW_MS)

    assert [counter.key for counter in counters] == [
        "key:k1",
        "project:acme/support/bot",
        "team:acme/support",
        "org:acme",
    ]
    assert all(counter.limits == () and counter.window.end_ms is None for counter in counters)


@pytest.mark.parametrize(
    ("root", "tag", "last_tally"),
    [("platform", "platform", "org:acme"), ("org", "acme", "org:acme"), ("team", "acme/support", "team:acme/support")],
)
def test_the_root_decides_the_slot_and_what_can_be_counted_in_it(root: str, tag: str, last_tally: str) -> None:
    claims = Claims((), root)

    assert claims.root(an_identity()) == tag
    assert keys_of(claims, an_identity())[-1] == last_tally


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ({"team": "support"}, "budget:b"),
        ({"team": "*"}, "budget:b:support"),
        ({"org": "acme"}, "budget:b"),
        ({"org": "acme", "team": "*"}, "budget:b:support"),
        ({"key": "*"}, "budget:b:k1"),
        ({"key": "k1", "model": "chat"}, "budget:b"),
        ({"team": "*", "model": "*"}, "budget:b:support/chat"),
        ({"project": "bot"}, "budget:b:support"),  # the bot of each team has the limit to itself
        ({"project": "*"}, "budget:b:support/bot"),
        ({"team": "support", "project": "bot"}, "budget:b"),
    ],
)
def test_a_scope_that_covers_the_request_adds_its_counter(scope: dict[str, str], key: str) -> None:
    claims = Claims([a_budget(scope)], "org")

    assert keys_of(claims, an_identity(project="bot"))[-1] == key


@pytest.mark.parametrize(
    "scope",
    [{"team": "sales"}, {"org": "other"}, {"key": "k2"}, {"team": "support", "model": "embed"}, {"project": "*"}],
)
def test_a_scope_that_does_not_cover_it_adds_nothing(scope: dict[str, str]) -> None:
    assert only_declared(Claims([a_budget(scope)], "org").counters(an_identity(), "chat", None, NOW_MS)) == []


def test_under_one_platform_root_teams_of_two_orgs_do_not_share_a_limit() -> None:
    claims = Claims([a_budget({"team": "support"})], "platform")

    keys = {keys_of(claims, an_identity("k1", org="acme"))[-1], keys_of(claims, an_identity("k2", org="other"))[-1]}

    assert keys == {"budget:b:acme", "budget:b:other"}


def test_names_from_files_can_not_break_out_of_a_redis_key() -> None:
    claims = Claims([a_budget({"team": "support", "model": "*"}, name="a b:{c}")], "org")

    assert keys_of(claims, an_identity(), model="qwen:7b/x y")[-1] == "budget:a%20b%3A%7Bc%7D:qwen%3A7b%2Fx%20y"


def test_what_is_only_observed_is_counted_and_limits_nothing() -> None:
    claims = Claims([a_budget({"team": "support"}, mode=Mode.OBSERVE)])

    (counter,) = only_declared(claims.counters(an_identity(), "chat", None, NOW_MS))

    assert counter.limits == ()
    assert counter.name == "b"


def test_a_rate_limit_is_reported_and_its_concurrency_has_no_window() -> None:
    limits = {Unit.REQUESTS: 600, Unit.TOKENS: 9, Unit.CONCURRENT: 50}
    rate = a_budget({"key": "*"}, limits=limits, window=WindowKind.MINUTE, kind="rate")

    per_minute, at_once = only_declared(Claims([rate]).counters(an_identity(), "chat", None, NOW_MS))

    assert (per_minute.key, at_once.key) == ("limit:b:k1", "limit:b:k1")
    assert per_minute.limits == ((Unit.REQUESTS, 600), (Unit.TOKENS, 9))
    assert per_minute.report and per_minute.kind == "rate"
    assert per_minute.window.id == "minute:UTC:2026-11-23T02:13+0000"
    assert at_once.limits == ((Unit.CONCURRENT, 50),)
    assert at_once.window.end_ms is None


def test_a_session_belongs_to_its_key_is_reported_and_kept_a_day() -> None:
    claims = Claims(())

    mine = claims.counters(an_identity("k1"), "chat", "s-1", NOW_MS)[-1]
    theirs = claims.counters(an_identity("k2"), "chat", "s-1", NOW_MS)[-1]

    assert (mine.key, theirs.key) == ("session:k1:s-1", "session:k2:s-1")
    assert mine.report and mine.ttl_ms == 86_400_000 and mine.window.end_ms is None


@pytest.mark.parametrize("hostile", ["a:b", "x" * 1_000, "{other}", "\ud800", "sp ace\n", ""])
def test_a_session_of_any_text_makes_a_short_safe_key_of_its_own(hostile: str) -> None:
    key = Claims(()).counters(an_identity(), "chat", hostile, NOW_MS)[-1].key

    assert key.startswith("session:k1:~")
    assert len(key) == len("session:k1:~") + 32
    assert key.isascii()


def test_counters_are_the_same_objects_until_a_window_ends_and_then_the_next_ones() -> None:
    rate = a_budget({"key": "*"}, limits={Unit.REQUESTS: 1}, window=WindowKind.MINUTE, kind="rate")
    claims, identity = Claims([rate]), an_identity()

    first = claims.counters(identity, "chat", None, NOW_MS)

    assert claims.counters(identity, "chat", None, NOW_MS + 1) is first
    later = claims.counters(identity, "chat", None, NOW_MS + MINUTE_MS)
    assert later[-1].window.start_ms == first[-1].window.end_ms


def test_a_key_that_moved_to_another_team_is_charged_there() -> None:
    claims = Claims(())
    keys_of(claims, an_identity(team="support"))

    assert "team:acme/sales" in keys_of(claims, an_identity(team="sales"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    claims = Claims(())

    for number in range(100):
        claims.counters(an_identity(f"k{number}"), "chat", None, NOW_MS)

    assert len(claims._compiled) <= 10


@pytest.mark.parametrize(
    ("scope", "root", "remedy"),
    [
        ({}, "org", "set tenancy.root: platform"),
        ({"model": "chat"}, "org", "set tenancy.root: platform"),
        ({"model": "*"}, "team", "set tenancy.root: platform"),
        ({"org": "acme"}, "team", "set tenancy.root: org"),
        ({"org": "*"}, "team", "set tenancy.root: org"),
    ],
)
def test_a_budget_above_or_across_the_root_is_refused_with_the_remedy(
    scope: dict[str, str], root: str, remedy: str
) -> None:
    with pytest.raises(BadDocument, match=remedy):
        Claims([a_budget(scope)], root)


@pytest.mark.parametrize("limit", [-1, 2**53, 2**63])
def test_limits_that_lua_can_not_compare_exactly_are_refused(limit: int) -> None:
    with pytest.raises(BadDocument, match="not between 0 and 9007199254740991"):
        Claims([a_budget({"team": "x"}, usd=limit)])


def test_an_unknown_zone_scope_or_root_is_refused() -> None:
    with pytest.raises(BadDocument, match="'b': zone: 'Mars/Olympus' is not a time zone"):
        Claims([a_budget({"team": "x"}, zone="Mars/Olympus")])
    with pytest.raises(BadDocument, match="'user' is not one of org, team, project, key, model"):
        Claims([a_budget({"user": "x"})])
    with pytest.raises(BadDocument, match=r"tenancy\.root: 'galaxy'"):
        Claims((), "galaxy")

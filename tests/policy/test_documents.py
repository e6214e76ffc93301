from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.domain.amounts import Unit
from gateway.domain.budgets import Budget, Mode, WindowKind
from gateway.domain.catalog import Member, Objective, SlaClass
from gateway.domain.faults import BadDocument
from gateway.policy.documents import CompiledPolicies, compile_policies, read_policy
from gateway.policy.sections import schema
from tests.policy.house import a_member

MEMBERS: Mapping[str, Member] = {f"{name}/m": a_member(name) for name in ("swift", "steady", "thrifty")}
B = "{name: b, scope: {team: t}, limit_usd: 1, window: day"  # stands for @B below
MODEL = "models: [{name: chat, members: [swift/m, steady/m]}]\n"


def compiled(*texts: str, members: Mapping[str, Member] = MEMBERS, tenancy_root: str = "org") -> CompiledPolicies:
    documents = [read_policy(text, file=f"p{place}.yaml") for place, text in enumerate(texts)]
    return compile_policies(documents, members, tenancy_root=tenancy_root)


def told(*texts: str, members: Mapping[str, Member] = MEMBERS, tenancy_root: str = "org") -> str:
    with pytest.raises(BadDocument) as bad:
        compiled(*texts, members=members, tenancy_root=tenancy_root)
    return str(bad.value)


def test_a_whole_file_becomes_the_pieces_of_a_snapshot() -> None:
    pieces = compiled(
        """
schema: joulegate.policy/1
classes:
  interactive: {ttft_ms: 1500, tpot_ms: 50, target: 0.99, on_unmeetable: reject}
  batch: {deadline_ms: 180000, target: 0.95}
models:
  - {name: chat, members: [swift/m, steady/m], objective: energy, sticky: session, class: batch}
budgets:
  - {name: support-month, scope: {team: support}, limit_usd: "250.00", limit_tokens: 1000, window: month,
     zone: Australia/Sydney}
limits:
  - {scope: {key: "*"}, requests_per_minute: 600, tokens_per_minute: 200000, concurrent: 50}
"""
    )

    assert pieces.classes == {
        "interactive": SlaClass("interactive", ttft_ms=1500, tpot_ms=50, reject_unmeetable=True, rank=0),
        "batch": SlaClass("batch", deadline_ms=180_000, target=0.95, rank=1),
    }
    assert pieces.default_class == "interactive"
    chat = pieces.models["chat"]
    assert [member.name for member in chat.members] == ["swift/m", "steady/m"]
    assert (chat.objective, chat.sticky, chat.sla_class) == (Objective.ENERGY, "session", "batch")
    assert pieces.budgets == (
        Budget(
            "support-month",
            {"team": "support"},
            {Unit.USD_NANOS: 250_000_000_000, Unit.TOKENS: 1_000},
            WindowKind.MONTH,
            "Australia/Sydney",
        ),
        Budget(
            "key-each",
            {"key": "*"},
            {Unit.REQUESTS: 600, Unit.TOKENS: 200_000, Unit.CONCURRENT: 50},
            WindowKind.MINUTE,
            kind="rate",
        ),
    )


def test_without_a_class_nothing_is_promised() -> None:
    pieces = compiled(MODEL)

    assert (pieces.default_class, pieces.classes["default"]) == ("default", SlaClass("default"))


def test_files_speak_to_each_other_in_their_order() -> None:
    pieces = compiled(
        "classes: {a: {ttft_ms: 1}}\ndefault_class: b",
        "classes: {b: {ttft_ms: 2}}\nmodels: [{name: chat, members: [swift/m], class: a}]",
    )

    assert [(name, sla.rank) for name, sla in pieces.classes.items()] == [("a", 0), ("b", 1)]
    assert pieces.default_class == "b"


def test_a_budget_that_only_watches_never_denies() -> None:
    budget = f"{B}, "
    observed = compiled(f"budgets: [{budget} mode: observe}}]").budgets[0]
    alerting = compiled(f"budgets: [{budget} on_exhausted: allow_and_alert}}]").budgets[0]

    assert (observed.mode, alerting.mode) == (Mode.OBSERVE, Mode.OBSERVE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "models: [{name: chat, members: [swfit/m]}]",
            "p0.yaml:1: models[0].members[0]: there is no member 'swfit/m'; did you mean 'swift/m'?",
        ),
        (
            "classes: {fast: {ttft_ms: 5}}\nmodels:\n  - {name: c, members: [swift/m], class: fats}",
            "p0.yaml:3: models[0].class: there is no class 'fats'; did you mean 'fast'?",
        ),
        (
            "classes: {fast: {ttft_ms: 5}}\ndefault_class: slow",
            "p0.yaml:2: default_class: there is no class 'slow'; there are fast",
        ),
        ("budgets:\n  - @B, zone: Australia/Sidney}", "did you mean 'Australia/Sydney'?"),
        (
            MODEL + "budgets:\n  - {name: b, scope: {team: t, model: caht}, limit_usd: 1, window: day}",
            "p0.yaml:3: budgets[0].scope.model: there is no model 'caht'; did you mean 'chat'?",
        ),
        (
            "budgets:\n  - {name: b, scope: {tean: t}, limit_usd: 1, window: day}",
            "p0.yaml:2: budgets[0].scope: 'tean' is not one of org, team, project, key, model",
        ),
        ("models: [{name: chat, members: [swift/m], objectve: cost}]", "unknown key; did you mean 'objective'?"),
        ("models: [{name: chat, members: [swift/m], calss: x}]", "unknown key; did you mean 'class'?"),
        (MODEL + MODEL.replace("models: ", "limits: []\nmodels: "), "models"),
        ("models: [{name: chat, members: [swift/m, swift/m]}]", "'swift/m' is listed twice"),
        ("models: [{name: chat, members: []}]", "models[0].members"),
        ("budgets: [{name: b, scope: {team: t}, window: day}]", "has no limit"),
        (
            "budgets: [{name: b, scope: {team: t}, limit_wh: 1, limit_joules: 1, window: day}]",
            "say the same thing twice",
        ),
        ("limits: [{scope: {key: '*'}}]", "has no limit"),
        (
            "limits:\n  - {scope: {key: '*'}, concurrent: 1}\n  - {scope: {key: '*'}, concurrent: 2}",
            "p0.yaml:3: limits[1]: 'key-each' is declared twice",
        ),
        (
            "budgets:\n  - {name: b, scope: {team: t}, limit_usd: '9007199.26', window: day}",
            "p0.yaml:2: budgets[0].limit_usd: 9007199.26 is larger than one counter holds exactly",
        ),
        ("budgets: [{name: b, scope: {team: t}, limit_usd: lots, window: day}]", "'lots' is not an amount"),
        ("classes: {c: {target: 1}}", "classes.c.target"),
        ("classes: {c: {ttft_ms: '5'}}", "classes.c.ttft_ms"),
    ],
)
def test_a_fault_names_its_line_and_a_remedy(text: str, expected: str) -> None:
    assert expected in told(text.replace("@B", B))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("classes: {c: {deferrable: true}}", "this version sends every request at once"),
        ("models: [{name: c, members: [swift/m], objective: weighted}]", "'weighted' is not acted on by this version"),
        ("budgets: [@B, on_overrun: cut}]", "'cut' is not acted on by this version"),
        ("budgets: [@B, when_redis_is_down: bounded}]", "'bounded' is not acted on by this version"),
        ("budgets: [@B, outage_allowance_usd: '2.00'}]", "is not acted on by this version"),
        ("budgets: [@B, on_exhausted: route_to}]", "'route_to' is not acted on by this version"),
        ("budgets: [@B, route_to: cheap}]", "is not acted on by this version"),
    ],
)
def test_what_this_version_would_ignore_it_refuses_with_a_sentence(text: str, sentence: str) -> None:
    assert sentence in told(text.replace("@B", B))


def test_names_are_declared_once_over_all_files() -> None:
    text = "classes: {a: {ttft_ms: 1}}\n" + MODEL
    budget = f"budgets: [{B}}}]"

    faults = told(text, text, budget, budget).splitlines()

    assert faults == [
        "p1.yaml:1: classes.a: is declared twice",
        "p1.yaml:2: models[0].name: 'chat' is declared twice",
        "p3.yaml:1: budgets[0]: 'b' is declared twice; give one of them another name",
    ]


def test_every_fault_is_told_at_once() -> None:
    assert len(told("models: [{name: a, members: [x/m]}, {name: b, members: [y/m]}]").splitlines()) == 2


def test_members_of_one_model_are_of_one_tier() -> None:
    members = {**MEMBERS, "steady/m": replace(MEMBERS["steady/m"], tier="small")}

    assert "of tier 'small'" in told(MODEL, members=members)


def test_a_budget_above_the_tenancy_root_is_refused_with_its_line() -> None:
    text = "budgets:\n  - {name: b, scope: {org: o}, limit_usd: 1, window: day}"

    assert compiled(text).budgets
    assert told(text, tenancy_root="team").startswith("p0.yaml:2: budgets[0].scope: ")


def test_cases_name_what_exists() -> None:
    case = "cases:\n  - {name: x, ttft_p95_ms: {swfit: 5}, expect: {route: [swift]}}"

    assert told(MODEL + case) == (
        "p0.yaml:3: cases[0].ttft_p95_ms.swfit: there is no member of chat 'swfit'; did you mean 'swift'?"
    )


def test_a_case_that_expects_nothing_is_refused() -> None:
    assert "expects nothing" in told(MODEL + "cases: [{name: x, expect: {}}]")


def test_the_schema_for_editors_knows_the_words_of_the_file() -> None:
    known = schema()["properties"]

    assert {"classes", "models", "budgets", "limits", "cases", "default_class", "schema"} == known.keys()

"""Label values stay bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.labels import CappedNames, DeclaredNames, RecentSessions


@given(st.lists(st.text(max_size=5)), st.integers(0, 5))
def test_no_input_makes_more_labels_than_the_cap_and_other(names: list[str], most: int) -> None:
    capped = CappedNames(most)

    assert len({capped.label(name) for name in names}) <= most + 1


def test_a_name_keeps_its_label_once_it_has_one() -> None:
    capped = CappedNames(1)

    assert [capped.label(name) for name in ("a", "b", "a")] == ["a", "other", "a"]


def test_only_declared_names_are_labels() -> None:
    names = DeclaredNames(["chat"])
    names.learn(["code"])

    assert [names.label(name) for name in ("chat", "code", "prose")] == ["chat", "code", "unknown"]


def test_a_session_is_new_once() -> None:
    sessions = RecentSessions(10)

    assert [sessions.is_new("a", "s"), sessions.is_new("a", "s"), sessions.is_new("b", "s")] == [True, False, True]


def test_a_session_in_use_is_not_forgotten_while_others_come_and_go() -> None:
    sessions = RecentSessions(10)
    sessions.is_new("a", "long")

    for n in range(100):
        sessions.is_new("a", f"short-{n}")
        assert not sessions.is_new("a", "long")

"""What looks like a secret does not get through; what is needed to find a fault does."""

from __future__ import annotations

import errno

import pytest

from gateway.telemetry.redaction import TEXT_MAX, describe, name_or_mark, scrub

CANARY = "CANARY7f3a"


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://api.example.com/v1/models?key={CANARY}&x=1 failed",
        f"redis://user:{CANARY}@10.0.0.2:6379/0 is away",
        f"https://{CANARY}@host/path",
        f"Authorization: Bearer {CANARY}",
        f"authorization: basic {CANARY}==",
        f"invalid key sk-proj-{CANARY}-abcdef",
        f"jg_{CANARY}abcdef is not known",
        f"digest {CANARY}{'0' * 64}",
        "x" * TEXT_MAX + CANARY,
    ],
)
def test_a_secret_in_a_text_is_taken_out(text: str) -> None:
    assert CANARY not in scrub(text)


def test_what_is_no_secret_stays() -> None:
    text = "https://api.example.com/v1/chat answered 503 after 3 attempts (records/2026-11-23/21-gateway-a-0.jsonl)"

    assert scrub(text) == text


@pytest.mark.parametrize("name", ["llama-70b", "meta-llama/Llama-3.1-70B-Instruct", "ft:gpt-4.1:org::id"])
def test_a_name_is_told(name: str) -> None:
    assert name_or_mark(name) == name


@pytest.mark.parametrize("prose", ["my mother's maiden name", "a\nb", "", "x" * 129])
def test_prose_in_place_of_a_name_is_not(prose: str) -> None:
    assert name_or_mark(prose) == "?"


def test_an_exception_is_told_by_type_cause_and_place_only() -> None:
    secret = f"local {CANARY}"
    try:
        try:
            int(secret)
        except ValueError as error:
            raise RuntimeError(f"could not read {CANARY}") from error
    except RuntimeError as error:
        told = describe(error)

    assert told["error_type"] == "RuntimeError < ValueError"
    assert "telemetry/test_redaction.py:" in told["error_at"]
    assert CANARY not in str(told)


def test_the_systems_own_words_are_told() -> None:
    assert describe(OSError(errno.ENOSPC, "No space left on device"))["error"] == "No space left on device"


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    assert describe(first)["error_type"] == "ValueError < KeyError"

"""Input tokens of a call on a member, before it is sent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Sequence

import pytest

from gateway.domain.call import CallKind, CountedText, ModelCall
from gateway.domain.usage import Count
from gateway.metering.estimate import InputEstimator
from gateway.metering.ratios import Ratios


class WordCounter:
    """A counter that counts words, in a later turn of the loop if told to."""

    def __init__(self, *, later: bool = False, exact: bool = True):
        self.asked: list[tuple[tuple[str, ...], str]] = []
        self._later = later
        self._exact = exact

    def count(self, texts: Sequence[str], encoding: str) -> Count | Awaitable[Count]:
        self.asked.append((tuple(texts), encoding))
        count = Count(sum(len(text.split()) for text in texts), self._exact)
        return self._wait(count) if self._later else count

    async def _wait(self, count: Count) -> Count:
        await asyncio.sleep(0)
        return count


def a_call(*texts: CountedText, fixed: int = 3, ids: int = 0, needs: frozenset[str] = frozenset()) -> ModelCall:
    return ModelCall(
        kind=CallKind.CHAT,
        model="chat",
        stream=False,
        wants_usage=False,
        output_tokens_max=None,
        choices=1,
        texts=texts or (CountedText("you are helpful", 4), CountedText("hello there", 4)),
        fixed_tokens=fixed,
        token_ids=ids,
        needs=needs,
        body={},
        body_bytes=100,
    )


@pytest.fixture
def counter() -> WordCounter:
    return WordCounter()


@pytest.fixture
def estimator(counter: WordCounter) -> InputEstimator:
    return InputEstimator(counter, Ratios())


def test_an_openai_encoding_is_counted_exactly_with_its_overhead(estimator: InputEstimator) -> None:
    # 3 + 2 words, 4 + 4 for the messages, 3 that prime the reply
    assert estimator.estimate(a_call(), "o200k_base", "m") == Count(16, exact=True)


def test_another_model_is_estimated_and_says_so(estimator: InputEstimator) -> None:
    assert estimator.estimate(a_call(), None, "m") == Count(16, exact=False)


@pytest.mark.parametrize("need", ["vision", "audio", "tools", "json"])
def test_what_is_counted_by_rule_is_not_exact(estimator: InputEstimator, need: str) -> None:
    assert estimator.estimate(a_call(needs=frozenset({need})), "o200k_base", "m") == Count(16, exact=False)


def test_what_the_counter_estimated_is_not_exact() -> None:
    estimator = InputEstimator(WordCounter(exact=False), Ratios())

    assert estimator.estimate(a_call(), "o200k_base", "m") == Count(16, exact=False)


def test_token_ids_count_as_they_are(estimator: InputEstimator) -> None:
    call = ModelCall(CallKind.EMBEDDING, "e", False, False, None, 1, (), 0, 7, frozenset(), {}, 20)

    assert estimator.estimate(call, "cl100k_base", "m") == Count(7, exact=True)


def test_a_call_is_counted_once_for_all_members_of_one_encoding(
    estimator: InputEstimator, counter: WordCounter
) -> None:
    call = a_call()
    for member in ("a", "b", "c"):
        estimator.estimate(call, None, member)
    for member in ("d", "e"):
        estimator.estimate(call, "o200k_base", member)
    estimator.estimate(call, "cl100k_base", "f")

    assert [encoding for _, encoding in counter.asked] == ["o200k_base", "o200k_base", "cl100k_base"]


async def test_a_large_call_is_awaited_once_and_then_known() -> None:
    estimator = InputEstimator(WordCounter(later=True), Ratios())
    call = a_call()

    first = estimator.estimate(call, None, "a")

    assert not isinstance(first, Count)
    assert await first == Count(16, exact=False)
    assert estimator.estimate(call, None, "b") == Count(16, exact=False)


def test_nothing_is_kept_of_a_call_that_is_gone(counter: WordCounter) -> None:
    estimator = InputEstimator(counter, Ratios())
    for _ in range(100):
        estimator.estimate(a_call(), None, "m")
    gc.collect()

    assert estimator.calls_known == 0


def test_reported_usage_teaches_the_next_estimate(estimator: InputEstimator) -> None:
    words = " ".join(["word"] * 500)
    for _ in range(100):
        call = a_call(CountedText(words, 4))
        estimator.estimate(call, None, "m")
        estimator.learn("m", call, 607 + 50)  # 1.2 times 500, 7 of overhead, 50 of a hidden system prompt

    learned = estimator.estimate(a_call(CountedText(words, 4)), None, "m")

    assert isinstance(learned, Count)
    assert learned.tokens == pytest.approx(657, rel=0.01)
    assert learned.exact is False


def test_pictures_teach_nothing_of_text(estimator: InputEstimator) -> None:
    for _ in range(50):
        call = a_call(needs=frozenset({"vision"}))
        estimator.estimate(call, None, "m")
        estimator.learn("m", call, 900)

    assert estimator.estimate(a_call(), None, "m") == Count(16, exact=False)


def test_a_member_counted_exactly_teaches_nothing(estimator: InputEstimator) -> None:
    for _ in range(50):
        call = a_call()
        estimator.estimate(call, "o200k_base", "m")
        estimator.learn("m", call, 900)

    assert estimator.estimate(a_call(), None, "m") == Count(16, exact=False)


def test_schemas_are_scaled_as_code(estimator: InputEstimator) -> None:
    for _ in range(50):
        call = a_call(needs=frozenset({"tools"}))
        estimator.estimate(call, None, "m")
        estimator.learn("m", call, 30)

    assert estimator.estimate(a_call(needs=frozenset({"tools"})), None, "m") == Count(30, exact=False)


def test_a_call_that_was_never_estimated_teaches_nothing(estimator: InputEstimator) -> None:
    estimator.learn("m", a_call(), 900)

    assert estimator.estimate(a_call(), None, "m") == Count(16, exact=False)


def test_output_is_counted_where_no_usage_came(estimator: InputEstimator) -> None:
    assert estimator.count_output(["one two", "three"], "o200k_base", "m") == Count(3, exact=True)
    assert estimator.count_output(["one two", "three"], None, "m") == Count(3, exact=False)


async def test_large_output_is_counted_later() -> None:
    estimator = InputEstimator(WordCounter(later=True), Ratios())

    count = estimator.count_output(["one two"], "o200k_base", "m")

    assert not isinstance(count, Count)
    assert await count == Count(2, exact=True)

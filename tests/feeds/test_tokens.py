"""The counter: never an exception, never a text twice, never the loop held for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Iterator

import pytest

from gateway.domain.usage import Count
from gateway.feeds.tokens import Counter, Tokenizer, reference_tokenizer, upper_estimate
from gateway.feeds.vocabularies import BadVocabulary


class ByWord:
    """Counts words, and remembers who asked for what."""

    def __init__(self) -> None:
        self.counted: list[str] = []
        self.threads: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def load(self, encoding: str) -> object:
        return self.count

    def count(self, text: str) -> int:
        self.threads.append(threading.current_thread().name)
        assert self.gate.wait(10)
        self.counted.append(text)
        return len(text.split())


@pytest.fixture
def words() -> ByWord:
    return ByWord()


@pytest.fixture
def counter(words: ByWord) -> Iterator[Counter]:
    tokenizer = Tokenizer("words", words.load, inline_max=100, text_max=10_000)  # type: ignore[arg-type]
    counter = Counter(tokenizer, threads=1, queue_max=1)
    counter.warm()
    yield counter
    words.gate.set()
    counter.close()


def at_once(count: Count | Awaitable[Count]) -> Count:
    assert isinstance(count, Count)
    return count


async def later(count: Count | Awaitable[Count]) -> Count:
    assert not isinstance(count, Count)
    return await count


def test_small_texts_are_answered_at_once_and_exactly(counter: Counter) -> None:
    assert counter.count(["one two", "three"], "o200k_base") == Count(3, exact=True)


def test_no_texts_are_no_tokens(counter: Counter) -> None:
    assert counter.count([], "o200k_base") == Count(0, exact=True)


def test_a_history_is_not_counted_twice(counter: Counter, words: ByWord) -> None:
    history = ["you are helpful", "hello there", "general question"]
    counter.count(history, "o200k_base")

    again = at_once(counter.count([*history, "one more"], "o200k_base"))

    assert again == Count(9, exact=True)
    assert words.counted == [*history, "one more"]


def test_a_text_known_in_one_vocabulary_is_not_known_in_another(counter: Counter, words: ByWord) -> None:
    counter.warm(["cl100k_base"])
    counter.count(["a text"], "o200k_base")
    counter.count(["a text"], "cl100k_base")

    assert words.counted == ["a text", "a text"]


def test_harmony_counts_as_the_vocabulary_it_is_built_on(counter: Counter, words: ByWord) -> None:
    counter.count(["a text"], "o200k_base")

    assert counter.count(["a text"], "o200k_harmony") == Count(2, exact=True)
    assert words.counted == ["a text"]


async def test_large_texts_go_to_a_thread_and_are_remembered(counter: Counter, words: ByWord) -> None:
    large = "word " * 100

    assert await later(counter.count([large], "o200k_base")) == Count(100, exact=True)
    assert words.threads[0].startswith("tokens")
    assert counter.count([large], "o200k_base") == Count(100, exact=True)


async def test_many_small_texts_together_count_as_large(counter: Counter, words: ByWord) -> None:
    assert await later(counter.count([f"text {n}" for n in range(50)], "o200k_base")) == Count(100, exact=True)


async def test_a_vocabulary_that_was_not_warmed_is_loaded_by_a_thread(counter: Counter, words: ByWord) -> None:
    assert await later(counter.count(["one two"], "cl100k_base")) == Count(2, exact=True)
    assert counter.count(["three"], "cl100k_base") == Count(1, exact=True)


def test_text_above_the_cap_is_estimated_at_half_its_bytes(counter: Counter, words: ByWord) -> None:
    assert counter.count(["x" * 10_001], "o200k_base") == Count(5_001, exact=False)
    assert words.counted == []


async def test_a_full_queue_estimates_instead_of_waiting(counter: Counter, words: ByWord) -> None:
    words.gate.clear()
    waiting = counter.count(["word " * 100], "o200k_base")

    hurried = counter.count(["x" * 200], "o200k_base")

    assert hurried == Count(100, exact=False)
    words.gate.set()
    assert await later(waiting) == Count(100, exact=True)


async def test_a_caller_who_gave_up_keeps_its_place_in_the_queue_until_the_thread_is_free(
    counter: Counter, words: ByWord
) -> None:
    words.gate.clear()
    gone = asyncio.ensure_future(later(counter.count(["word " * 100], "o200k_base")))
    await asyncio.sleep(0)
    while not words.threads:
        await asyncio.sleep(0.001)
    gone.cancel()
    await asyncio.wait([gone])

    assert at_once(counter.count(["x" * 200], "o200k_base")).exact is False
    words.gate.set()
    counter.close()


def test_after_closing_large_texts_are_estimated_and_small_ones_still_counted(counter: Counter) -> None:
    counter.close()

    assert counter.count(["x" * 200], "o200k_base") == Count(100, exact=False)
    assert counter.count(["one two"], "o200k_base") == Count(2, exact=True)


def test_an_unknown_encoding_is_refused_by_name(counter: Counter) -> None:
    with pytest.raises(BadVocabulary, match=r"p50k_base.*known: o200k_base, cl100k_base, o200k_harmony"):
        counter.count(["x"], "p50k_base")


@pytest.mark.parametrize("text", ["héllo", "中文", "🎉", "\ud800", "", "plain"])
def test_the_estimate_is_half_the_bytes_rounded_up(text: str) -> None:
    assert upper_estimate(text) == -(-len(text.encode("utf-8", "surrogatepass")) // 2)


async def largest_gap(during: Awaitable[object]) -> float:
    """The longest that the loop was away while `during` ran, in seconds."""
    task = asyncio.ensure_future(during)
    largest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        largest, last = max(largest, (now := time.perf_counter()) - last), now
    return largest


async def test_a_megabyte_of_one_letter_does_not_delay_the_loop() -> None:
    """tiktoken, the slower of the two: counting takes a third of a second, no beat of the loop a third of that."""
    reference = reference_tokenizer()
    counter = Counter(Tokenizer("tiktoken", reference.load, inline_max=16 * 1024, text_max=2_000_000))
    counter.warm()
    inline = reference.load("o200k_base")
    started = time.perf_counter()
    tokens = inline("a" * 1_000_000)
    alone = time.perf_counter() - started

    gap = min([await largest_gap(later(counter.count(["a" * (1_000_000 - n)], "o200k_base"))) for n in (0, 8, 16)])
    counter.close()

    assert tokens == 125_000
    assert gap < alone / 3

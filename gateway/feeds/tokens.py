"""Counts tokens: exactly, without holding the event loop, and no text twice.

Who counts (toktok or tiktoken) is decided once; what was counted is remembered by `Remembered`; texts above a size
go to two threads. Called from one event loop; `warm` may be called before there is one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from gateway.domain.usage import Count
from gateway.feeds.remembered import Remembered
from gateway.feeds.vocabularies import base_of, tiktoken_encoding

CountText = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A library that counts, and how much of it the event loop can bear. Sizes in characters of text not seen before.

    load: builds the counter of one vocabulary; slow, once. inline_max: counted at once up to here, above by a thread.
    text_max: above, the count is estimated; a thread is not to be held for longer than about half a second.
    """

    name: str
    load: Callable[[str], CountText]
    inline_max: int
    text_max: int


def fast_tokenizer() -> Tokenizer | None:
    """toktok, or None where it is not installed. 10 ns a character of fresh prose, 130 ns at worst (random letters)."""
    try:
        from toktok import _encoding
    except ImportError:
        return None

    # The public `batch_count` starts a thread pool at each call (27 us); the tokenizer's own `count` costs 0.3 us.
    def load(encoding: str) -> CountText:
        count: CountText = _encoding(encoding).count
        return count

    return Tokenizer("toktok", load, inline_max=48 * 1024, text_max=4 * 1024 * 1024)


def reference_tokenizer() -> Tokenizer:
    """tiktoken. 30 ns a character of prose, 460 at worst (1 MB of one letter): it lists the ids to count them."""

    def load(encoding: str) -> CountText:
        encode = tiktoken_encoding(encoding).encode_ordinary  # `encode` raises on a literal <|endoftext|>
        return lambda text: len(encode(text))

    return Tokenizer("tiktoken", load, inline_max=16 * 1024, text_max=200_000)


class Counter:
    """Implements ports.TokenCounter. Text above the cap, or while the queue is full, is estimated and never refused."""

    def __init__(
        self,
        tokenizer: Tokenizer | None = None,
        *,
        threads: int = 2,
        queue_max: int = 64,
        remembered_texts: int = 16_384,  # 2.3 MiB
    ):
        self._tokenizer = tokenizer or fast_tokenizer() or reference_tokenizer()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tokens")
        self._free = threading.Semaphore(queue_max)  # released by the thread: a cancelled caller frees no thread
        self._loading = threading.Lock()
        self._closed = False
        self._counters: dict[str, CountText] = {}
        self._remembered: dict[str, Remembered] = {}
        self._remembered_texts = remembered_texts

    @property
    def name(self) -> str:
        """The library that counts: "toktok" or "tiktoken"."""
        return self._tokenizer.name

    def warm(self, encodings: Iterable[str] = ("o200k_base",)) -> None:
        """Load vocabularies (0.3 s each) before the first request needs one. Raises BadVocabulary."""
        for encoding in encodings:
            self._load(base_of(encoding))

    def close(self) -> None:
        """Stop the threads once what they count is counted; waiting jobs are cancelled, and later ones estimated."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def count(self, texts: Sequence[str], encoding: str) -> Count | Awaitable[Count]:
        """Sum over `texts`; see the port."""
        base = base_of(encoding)
        remembered = self._remembered.get(base)
        if remembered is None:
            remembered = self._remembered[base] = Remembered(self._remembered_texts)
        known, fresh, size = remembered.split(texts)
        if not fresh:
            return Count(known, exact=True)
        count_text = self._counters.get(base)
        if count_text is not None and size <= self._tokenizer.inline_max:
            return Count(known + remembered.learn(fresh, count_each(count_text, fresh)), exact=True)
        if self._closed or size > self._tokenizer.text_max or not self._free.acquire(blocking=False):
            return Count(known + sum(map(upper_estimate, fresh)), exact=False)
        return self._count_in_thread(base, remembered, known, fresh)

    async def _finish(self, job: Future[list[int]], remembered: Remembered, known: int, fresh: list[str]) -> Count:
        counts = await asyncio.wrap_future(job)
        return Count(known + remembered.learn(fresh, counts), exact=True)

    def _count_in_thread(self, base: str, remembered: Remembered, known: int, fresh: list[str]) -> Awaitable[Count]:
        job = self._pool.submit(lambda: count_each(self._load(base), fresh))
        job.add_done_callback(lambda _: self._free.release())
        return self._finish(job, remembered, known, fresh)

    def _load(self, base: str) -> CountText:
        with self._loading:
            if base not in self._counters:
                self._counters[base] = self._tokenizer.load(base)
            return self._counters[base]


def count_each(count_text: CountText, texts: Sequence[str]) -> list[int]:
    """Tokens of each text. A lone surrogate, which no encoding knows, counts as the replacement character does."""
    try:
        return [count_text(text) for text in texts]
    except UnicodeEncodeError:
        return [count_text(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")) for text in texts]


def upper_estimate(text: str) -> int:
    """Half the UTF-8 bytes: above the count of all natural text, at the price of an encoding pass (0.8 ms a MB)."""
    return (len(text.encode("utf-8", "surrogatepass")) + 1) // 2

"""What counting tokens costs: time for a chat at first sight and again, worst cases, memory of each library.

    python -m benchmarks.tokens            # a table, about ten seconds
    python -m benchmarks.tokens --json

Each library runs in a process of its own, so that memory and first-use costs are its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.domain.usage import Count
from gateway.feeds.tokens import Counter, Tokenizer, fast_tokenizer, reference_tokenizer

VOCABULARY = (
    "the of and to in that is was for it with as on be at by this have from or an they which one you were all "
    "energy gateway budget inference power request backend token latency cost measure kilowatt carbon estimate "
    "however therefore although because customer support question answer please explain summarise compare"
)
WORDS = VOCABULARY.split()
MESSAGES = 40
CHAT_CHARACTERS = 32_000
RUNS = 30
WORST = 100_000


def a_chat(draw: random.Random) -> list[str]:
    """40 messages of about 800 characters, never the same twice."""
    return [prose(draw, CHAT_CHARACTERS // MESSAGES) for _ in range(MESSAGES)]


def prose(draw: random.Random, characters: int) -> str:
    """Words of no meaning, one token each for the most part."""
    words: list[str] = []
    length = 0
    while length < characters:
        word = draw.choice(WORDS) if draw.random() < 0.79 else f"{draw.choice(WORDS).title()}-{draw.randrange(1000)},"
        words.append(word)
        length += len(word) + 1
    return " ".join(words)


def resident_mib() -> float:
    """This process's resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status: this benchmark needs Linux")


def measure(tokenizer: Tokenizer) -> dict[str, float | str]:
    """All figures of one library, in this process."""
    draw = random.Random(5)
    before = resident_mib()
    counter = Counter(Tokenizer(tokenizer.name, tokenizer.load, inline_max=10**9, text_max=10**9))
    load_ms = 1e3 * seconds(counter.warm)
    one_mib = resident_mib() - before
    first, again, tokens = [], [], []
    for _ in range(RUNS):
        chat = a_chat(draw)
        first.append(1e6 * cpu_seconds(partial(counter.count, chat, "o200k_base")))
        longer = [_copy(text) for text in chat] + [prose(draw, 800)]  # as parsed from the next body: equal, not same
        again.append(1e6 * cpu_seconds(partial(counter.count, longer, "o200k_base")))
        count = counter.count(chat, "o200k_base")
        assert isinstance(count, Count)
        tokens.append(count.tokens)
    worst = {
        "one_letter_100k_ms": "a" * WORST,
        "random_letters_100k_ms": "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=WORST)),
        "han_33k_ms": "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(WORST // 3)),
    }
    figures: dict[str, float | str] = {
        "library": tokenizer.name,
        "load_ms": load_ms,
        "memory_o200k_mib": one_mib,
        "chat_tokens": statistics.median(tokens),
        "chat_first_sight_us": statistics.median(first),
        "chat_again_one_more_us": statistics.median(again),
    }
    figures |= {name: 1e3 * cpu_seconds(partial(counter.count, [text], "o200k_base")) for name, text in worst.items()}
    figures["loop_gap_during_1mb_ms"] = 1e3 * asyncio.run(_gap(tokenizer))
    counter.warm(["cl100k_base"])
    figures["memory_both_mib"] = resident_mib() - before
    counter.close()
    return figures


async def _gap(tokenizer: Tokenizer) -> float:
    """The longest the event loop was away while a thread counted 1 MB of one letter."""
    counter = Counter(Tokenizer(tokenizer.name, tokenizer.load, tokenizer.inline_max, text_max=2_000_000))
    counter.warm()
    pending = counter.count(["a" * 1_000_000], "o200k_base")
    assert not isinstance(pending, Count)
    job = asyncio.ensure_future(pending)
    longest, last = 0.0, time.perf_counter()
    while not job.done():
        await asyncio.sleep(0)
        longest, last = max(longest, (now := time.perf_counter()) - last), now
    counter.close()
    return longest


def _copy(text: str) -> str:
    return text.encode().decode()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this thread in one run."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def main() -> None:
    """Run each library in a process of its own and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", choices=["toktok", "tiktoken"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        tokenizer = fast_tokenizer() if asked.only == "toktok" else reference_tokenizer()
        print(json.dumps(measure(tokenizer) if tokenizer else None))
        return
    rows = []
    for name in ("toktok", "tiktoken"):
        print(f"measuring {name} ...", file=sys.stderr)
        child = [sys.executable, "-m", "benchmarks.tokens", "--only", name]
        row = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
        if row is None:
            print(f"{name} is not installed, left out", file=sys.stderr)
        else:
            rows.append(row)
    print(json.dumps(rows, indent=1) if asked.json else table(rows))


def table(rows: list[dict[str, float | str]]) -> str:
    """Libraries as columns, in Markdown."""
    head = f"| | {' | '.join(str(row['library']) for row in rows)} |\n|---|{'---|' * len(rows)}"
    lines = [f"| {name} | {' | '.join(f'{row[name]:,.1f}' for row in rows)} |" for name in rows[0] if name != "library"]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    main()

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, cast

from gateway.backends.watch import Watch


class HandMovedLoop:
    """Time by hand. `timers`: how many were ever made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = 0
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Any:
        self.timers += 1
        number = self.timers
        self._due[number] = (when, call)

        class Timer:
            def cancel(timer) -> None:  # noqa: N805
                self._due.pop(number, None)

        return Timer()

    def to(self, now: float) -> None:
        self.now = now
        for number, (when, call) in sorted(self._due.items()):
            if when <= now:
                del self._due[number]
                call()


def a_watch() -> tuple[HandMovedLoop, Watch, list[float]]:
    loop, rung = HandMovedLoop(), list[float]()
    return loop, Watch(cast(asyncio.AbstractEventLoop, loop), lambda: rung.append(loop.now)), rung


def test_it_rings_once_the_deadline_has_passed():
    loop, watch, rung = a_watch()
    watch.set(10)

    loop.to(9)
    assert not rung
    loop.to(10)
    loop.to(100)

    assert rung == [10]


def test_moving_a_deadline_later_makes_no_timer():
    loop, watch, rung = a_watch()
    for step in range(1_000):
        watch.set(10 + step / 1_000)
    assert loop.timers == 1

    loop.to(10)
    assert not rung
    loop.to(11)

    assert rung == [11]
    assert loop.timers == 2


def test_moving_it_nearer_is_heeded():
    loop, watch, rung = a_watch()
    watch.set(300)
    watch.set(1)

    loop.to(1)

    assert rung == [1]


def test_without_a_deadline_it_is_silent():
    loop, watch, rung = a_watch()
    watch.set(1)
    watch.set(inf)
    loop.to(1)
    watch.set(2)
    watch.stop()
    loop.to(1_000)

    assert not rung

"""Rules change as a whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import io
from pathlib import Path

from gateway.bootstrap.assemble import Assembly, read_assembly
from gateway.bootstrap.reload import Rules
from gateway.telemetry.logs import make_log
from tests.bootstrap.files import ENV, SETTINGS, written

LOG = make_log(io.StringIO())


def rules(path: Path) -> Rules:
    return Rules(read_assembly(path, ENV), read=lambda: read_assembly(path, ENV), log=LOG)


async def test_good_files_take_over_and_followers_are_told_before(tmp_path: Path) -> None:
    served = rules(written(tmp_path))
    old, told, heard = served.current(), [], []
    served.follow(lambda fresh: told.append((fresh.snapshot.version, served.current() is old)))
    served.hear(heard.append)

    written(tmp_path, settings=SETTINGS.replace('"0.10"', '"0.20"'))
    refused = await served.reload()

    assert refused is None
    assert served.current() is not old
    assert told == [(served.current().version, True)]
    assert heard == [True]


async def test_a_bad_file_leaves_the_old_rules_serving_and_says_why(tmp_path: Path) -> None:
    served = rules(written(tmp_path))
    old, heard = served.current(), []
    served.hear(heard.append)

    written(tmp_path, policy="models: [{name: chat, memberz: []}]")
    refused = await served.reload()

    assert refused is not None and "chat.yaml:1" in refused and "did you mean 'members'" in refused
    assert served.current() is old
    assert heard == [False]


async def test_rules_that_an_upstream_can_not_follow_never_come_into_force(tmp_path: Path) -> None:
    served = rules(written(tmp_path))
    old = served.current()

    def refuses(fresh: Assembly) -> None:
        raise ValueError("this CA file can not be read")

    served.follow(refuses)
    written(tmp_path, settings=SETTINGS.replace('"0.10"', '"0.20"'))

    assert await served.reload() == "this CA file can not be read"
    assert served.current() is old


async def test_files_that_say_the_same_swap_nothing(tmp_path: Path) -> None:
    served = rules(written(tmp_path))
    old = served.current()

    written(tmp_path, settings=SETTINGS + "# a remark\n")

    assert await served.reload() is None
    assert served.current() is old


async def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    served = rules(written(tmp_path))
    seen = asyncio.Event()
    served.follow(lambda _: seen.set())
    following = asyncio.create_task(served.follow_files())

    async def change_until_seen() -> None:
        price = 20
        while not seen.is_set():  # the watch may not stand yet when the first change is made
            price += 1
            written(tmp_path, settings=SETTINGS.replace('"0.10"', f'"0.{price}"'))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(seen.wait(), 1)

    try:
        await asyncio.wait_for(change_until_seen(), 20)
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    assert seen.is_set()

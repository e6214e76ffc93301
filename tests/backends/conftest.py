from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

# What touches sockets of ours runs on both loops: the one we serve with, and the standard one.
ON_BOTH = {"test_http.py", "test_wire.py", "test_pool.py", "test_tls.py", "test_dialer.py"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    uv = {"uvloop": uvloop.new_event_loop}
    return {**uv, "asyncio": asyncio.new_event_loop} if item.path.name in ON_BOTH else uv

"""One of several processes that want money from one budget at once: `contender URL ROOT COUNT USD_EACH LIMIT`."""

from __future__ import annotations

import asyncio
import json
import sys

from gateway.domain.budgets import Denial, Hold
from tests.ledger.house import a_counter, redis_world


async def contend(url: str, root: str, count: int, usd: int, limit: int) -> dict[str, int]:
    budget = a_counter(usd=limit)
    async with redis_world(url, deadline_s=30) as world:
        world.root = root
        verdicts = await asyncio.gather(*(world.ledger.reserve(world.ask(budget, usd=usd)) for _ in range(count)))
    return {
        "granted": sum(isinstance(verdict, Hold) for verdict in verdicts),
        "denied": sum(isinstance(verdict, Denial) for verdict in verdicts),
    }


if __name__ == "__main__":
    url, root, *numbers = sys.argv[1:]
    print(json.dumps(asyncio.run(contend(url, root, *map(int, numbers)))))

"""Sample chatbot traffic: people of two teams who hold conversations through the gateway's real HTTP port.

Simulated, and says so. Load is bounded: a fixed number of people, each waiting for an answer before asking again.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

import aiohttp

QUESTIONS = (
    "My parcel has not arrived. What can I do?",
    "How do I change the address of an order?",
    "Please explain the difference between the two plans.",
    "Summarise our last conversation in three sentences.",
    "Which of these cities is furthest south: Oslo, Quito or Sydney?",
    "Write a short, friendly reply to a customer who waited too long.",
    "What does this error mean: connection reset by peer?",
    "Translate to German: the invoice is attached.",
)
ANSWER_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Team:
    """Who asks: a key, and how many people hold conversations with it."""

    name: str
    key: str
    people: int
    pause_s: float  # mean time a person reads before asking again


@dataclass(slots=True)
class Tally:
    """What came back, as the people saw it."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0

    @property
    def requests(self) -> int:
        """Answers of any kind, and connections that broke."""
        return self.statuses.total() + self.broken


class Traffic:
    """Conversations against one gateway until told to stop."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        teams: Sequence[Team],
        random: Random,
        answer_tokens: int,
        classes: Sequence[str] = (),
    ) -> None:
        self._url = f"{base_url}/chat/completions"
        self._model = model
        self._teams = teams
        self._random = random
        self._answer_tokens = answer_tokens
        self._classes = classes
        self.tally = Tally()

    async def run(self, stop: asyncio.Event) -> None:
        """Everybody talks until `stop` is set; answers under way are heard to their end."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as people:
            for team in self._teams:
                for _ in range(team.people):
                    people.create_task(self._person(http, team, stop))

    async def _person(self, http: aiohttp.ClientSession, team: Team, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._conversation(http, team, stop)

    async def _conversation(self, http: aiohttp.ClientSession, team: Team, stop: asyncio.Event) -> None:
        who = {
            "authorization": f"Bearer {team.key}",
            "x-joulegate-session": str(UUID(int=self._random.getrandbits(128))),
        }
        if self._classes:
            who["x-joulegate-class"] = self._random.choice(self._classes)
        messages: list[dict[str, str]] = [{"role": "system", "content": "You are a helpful assistant of a small shop."}]
        for _ in range(self._random.randint(2, 5)):
            messages.append({"role": "user", "content": self._random.choice(QUESTIONS)})
            answer = await self._ask(http, who, messages)
            messages.append({"role": "assistant", "content": answer})
            try:
                await asyncio.wait_for(stop.wait(), self._random.expovariate(1 / team.pause_s))
                return
            except TimeoutError:
                continue

    async def _ask(self, http: aiohttp.ClientSession, who: dict[str, str], messages: list[dict[str, str]]) -> str:
        stream = self._random.random() < 0.6
        body = {
            "model": self._model,
            "messages": messages,
            "stream": stream,
            "max_tokens": self._random.randint(self._answer_tokens // 4, self._answer_tokens),
        }
        try:
            async with http.post(self._url, json=body, headers=who) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError):
            self.tally.broken += 1
            return ""
        self.tally.statuses[response.status] += 1
        if response.status != 200:
            return ""
        return streamed_text(raw) if stream else whole_text(raw)


def whole_text(raw: bytes) -> str:
    """The answer in a JSON body; empty if there is none."""
    choices = json.loads(raw).get("choices") or [{}]
    return str(choices[0].get("message", {}).get("content") or "")


def streamed_text(raw: bytes) -> str:
    """The answer in a stream of events, put together."""
    parts = []
    for line in raw.splitlines():
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:]).get("choices") or [{}]
            parts.append(str(choices[0].get("delta", {}).get("content") or ""))
    return "".join(parts)

"""What goes wrong on command. Off by default, and only where the controls are on."""

from __future__ import annotations

import asyncio
import random
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class UsageStyle(StrEnum):
    """How usage is reported. NORMAL is as OpenAI does."""

    NORMAL = "normal"
    NONE = "none"  # never
    FINISH_CHUNK = "finish_chunk"  # beside the last choices, as some servers do
    NULL_FIELDS = "null_fields"  # `"usage": null` in every event, asked for or not
    HOSTILE = "hostile"  # figures that can not be


class Faults(BaseModel):
    """The body of `POST /simulate`; what it leaves out returns to normal.

    slowdown: times as slow. hang: accept and never answer. fail_rate: this share of requests gets `status`.
    die_after_bytes: the connection is reset once this much of an answer's body was sent.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    slowdown: float = Field(default=1.0, gt=0, le=1_000)
    hang: bool = False
    fail_rate: float = Field(default=0.0, ge=0, le=1)
    status: int = Field(default=503, ge=400, le=599)
    die_after_bytes: int | None = Field(default=None, ge=0)
    usage: UsageStyle = Field(default=UsageStyle.NORMAL, strict=False)


class FaultBox:
    """The faults in force."""

    def __init__(self, seed: int) -> None:
        self.now = Faults()
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._not_hanging = asyncio.Event()
        self._not_hanging.set()

    def set(self, faults: Faults) -> None:
        """From now on; requests that hang go on when hanging ends."""
        self.now = faults
        if faults.hang:
            self._not_hanging.clear()
        else:
            self._not_hanging.set()

    async def past_hanging(self) -> None:
        """Waits for as long as the server hangs."""
        await self._not_hanging.wait()

    def fails(self) -> bool:
        """Whether this request is one of the failing share."""
        return self.now.fail_rate > 0 and self._chance.random() < self.now.fail_rate

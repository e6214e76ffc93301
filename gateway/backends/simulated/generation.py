"""One answer of a simulated model, in its time: prompt first, then token by token."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
from aiohttp import web

from gateway.backends.simulated.books import Books
from gateway.backends.simulated.faults import Faults
from gateway.backends.simulated.prefixes import Prefixes
from gateway.backends.simulated.replies import Replies, Spent
from gateway.backends.simulated.settings import SimulatedSettings
from gateway.backends.simulated.speech import Speech, speak
from gateway.backends.simulated.station import Station
from gateway.domain.call import ModelCall
from gateway.ports.counter import Count, TokenCounter


class Generation:
    """Answers one call. `counts`: tokens of each of its texts, in order."""

    def __init__(
        self,
        call: ModelCall,
        *,
        number: int,
        created_s: int,
        settings: SimulatedSettings,
        station: Station,
        books: Books,
        faults: Faults,
        counts: Sequence[int],
        prefixes: Prefixes,
        counter: TokenCounter,
    ) -> None:
        self._call = call
        self._settings = settings
        self._station = station
        self._books = books
        self._faults = faults
        self._counter = counter
        texts = [(text.text, count + text.extra_tokens) for text, count in zip(call.texts, counts, strict=True)]
        self._prompt = sum(tokens for _, tokens in texts) + call.fixed_tokens + call.token_ids
        self._cached = prefixes.cached_tokens(call.model, texts)
        self._replies = Replies(
            kind=call.kind,
            model=call.model,
            id=f"sim-{settings.name}-{number:08d}",
            created_s=created_s,
            style=faults.usage,
            asked_usage=call.wants_usage,
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The whole exchange. What was generated is in the books even if the client leaves."""
        speeches = [
            speak(
                self._call.body,
                seed=self._settings.seed,
                choice=choice,
                typical=self._settings.output_tokens,
                bound=self._call.output_tokens_max,
            )
            for choice in range(self._call.choices)
        ]
        await asyncio.sleep(self._station.first_token_s(self._prompt - self._cached))
        self._books.prompt_tokens_total += self._prompt - self._cached
        self._books.prompt_tokens_cached_total += self._cached
        try:
            if self._call.stream:
                return await self._stream(request, speeches)
            return await self._whole(request, speeches)
        except (asyncio.CancelledError, ConnectionError):
            self._books.requests_cancelled_total += 1
            raise

    async def _whole(self, request: web.Request, speeches: Sequence[Speech]) -> web.StreamResponse:
        await asyncio.sleep(self._station.token_s() * (max(len(speech.pieces) for speech in speeches) - 1))
        spent = await self._spent(speeches)
        self._books.tokens_predicted_total += spent.output
        body = orjson.dumps(self._replies.whole(speeches, spent))
        if self._faults.die_after_bytes is None:
            return web.Response(body=body, content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(body))})
        await response.prepare(request)
        await self._write(request, response, body, 0)
        return response

    async def _stream(self, request: web.Request, speeches: Sequence[Speech]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        await response.prepare(request)
        sent = 0
        for event in self._replies.opening(len(speeches)):
            sent = await self._write(request, response, event, sent)
        longest = max(len(speech.pieces) for speech in speeches)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for number in range(longest):
            for index, speech in enumerate(speeches):
                if number < len(speech.pieces):
                    self._books.tokens_predicted_total += speech.worded
                    sent = await self._write(request, response, self._replies.piece(index, number, speech), sent)
            due += self._station.token_s()
            if number + 1 < longest:
                await asyncio.sleep(max(0.0, due - loop.time()))
        self._books.tokens_predicted_total += sum([await self._tokens(s) for s in speeches if not s.worded])
        spent = await self._spent(speeches)
        for index, speech in enumerate(speeches):
            last = index == len(speeches) - 1
            sent = await self._write(
                request, response, self._replies.finish(index, speech, spent if last else None), sent
            )
        for event in self._replies.ending(spent):
            sent = await self._write(request, response, event, sent)
        await response.write_eof()
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, data: bytes, sent: int) -> int:
        """Sends `data`, or as much of it as the command to die allows."""
        limit = self._faults.die_after_bytes
        if limit is not None and sent + len(data) > limit:
            await response.write(data[: max(0, limit - sent)])
            await asyncio.sleep(0)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("died on command")
        await response.write(data)
        return sent + len(data)

    async def _spent(self, speeches: Sequence[Speech]) -> Spent:
        return Spent(self._prompt, self._cached, sum([await self._tokens(speech) for speech in speeches]))

    async def _tokens(self, speech: Speech) -> int:
        if speech.worded:
            return len(speech.pieces)
        count = self._counter.count((speech.text, speech.tool or ""), "o200k_base")
        return count.tokens if isinstance(count, Count) else (await count).tokens

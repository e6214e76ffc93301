"""The measure of all ratios: aiohttp and uvloop, and nothing but passing on. No key, no count, no budget, no record.

    python -m benchmarks.forwarder --upstream http://127.0.0.1:9000 --port 0

The leanest server aiohttp has (`web.Server`), the same backlog and TCP_NODELAY as the gateway, one client session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

BACKLOG = 4096


async def forward(request: web.BaseRequest, session: ClientSession, upstream: str) -> web.StreamResponse:
    """One request up, its answer down; a stream chunk by chunk as it comes."""
    body = await request.read()
    headers = {"content-type": "application/json"}
    async with session.post(upstream + request.path, data=body, headers=headers, allow_redirects=False) as answer:
        if answer.content_type != "text/event-stream":
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)
        reply = web.StreamResponse(status=answer.status, headers={"content-type": "text/event-stream"})
        await reply.prepare(request)
        async for piece in answer.content.iter_any():
            await reply.write(piece)
        await reply.write_eof()
        return reply


async def serve(upstream: str, port: int) -> None:
    """Until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    connector = TCPConnector(limit=0)
    async with ClientSession(connector=connector, timeout=ClientTimeout(total=900), auto_decompress=False) as session:
        runner = web.ServerRunner(web.Server(lambda request: forward(request, session, upstream), access_log=None))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG)
        await site.start()
        print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
        await ended.wait()
        await runner.cleanup()


def main() -> None:
    """Parse and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", required=True, help="where to pass requests on to, e.g. http://127.0.0.1:9000")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, and says which")
    asked = parser.parse_args()
    uvloop.run(serve(asked.upstream, asked.port))


if __name__ == "__main__":
    main()

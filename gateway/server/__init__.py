"""Who asks: HTTP callers and operators.

Framing guards, headers, routes, errors; the one place that knows status codes.

    data.py        the data port: start, drain, close
    door.py        one request: authenticate, hand over to the pipeline, or refuse
    listener.py    aiohttp's low-level server with our limits: slow heads, too many connections, framing errors
    guards.py      what HTTP allows and we refuse; headers.py: what a caller may say; body.py: reading what it sends
    reply.py       the caller's connection as the pipeline sees it; head.py: response heads; errors.py: refusals
    reads.py       GET /v1/models, /v1/key, /v1/usage
    admin.py       the admin port: probes, metrics, operators' calls and the page

Never here: anything that decides over money or routes, and any knowledge of Redis.
"""

"""One request, one way: estimate, quote, route, reserve, relay, settle, record.

Knows ports, never the rooms behind them.

pipeline   the flow up to the attempts   attempts   reserve, send, relay, close, and again
walk       the state of one request      draining   reading on after the caller left
quoting    count, expect, price          asking     route and counters to one reserve
relay      from upstream to caller       closing    price, settle, learn
recording  the usage record              refusing   what stood in the way, in words
books      who was in flight when        aftercare  what must outlive a request
"""

from gateway.pipeline.incoming import Incoming
from gateway.pipeline.pipeline import Pipeline

__all__ = ["Incoming", "Pipeline"]

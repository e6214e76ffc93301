"""One request, one way: estimate, quote, route, reserve, relay, settle, record.

Knows ports, never the rooms behind them.

pipeline   the flow                      walk       the state of one request and its attempts
quoting    count, expect, price          asking     route and counters to one reserve
relay      from upstream to caller       closing    price, settle, learn
recording  the usage record              refusing   what stood in the way, in words
books      who was in flight when        aftercare  what must outlive a request
"""

from gateway.pipeline.incoming import Incoming
from gateway.pipeline.pipeline import Pipeline

__all__ = ["Incoming", "Pipeline"]

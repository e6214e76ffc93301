"""What the core asks of the world, as Protocols. No implementation lives here, and no port knows a library.

clock     time                             ledger      reserve, settle, release
upstream  one backend deployment           reply       the caller's connection
recorder  usage records                    signals     what metrics want to hear
identities keys to tenants                 policies    the snapshot in force
counter   tokens of a text
"""

from gateway.ports.clock import Clock
from gateway.ports.counter import Count, TokenCounter
from gateway.ports.identities import Identities
from gateway.ports.ledger import Ledger
from gateway.ports.policies import Policies
from gateway.ports.recorder import Recorder
from gateway.ports.reply import ClientGone, Reply
from gateway.ports.signals import Signals
from gateway.ports.upstream import Answer, Upstream, Upstreams

__all__ = [
    "Answer",
    "ClientGone",
    "Clock",
    "Count",
    "Identities",
    "Ledger",
    "Policies",
    "Recorder",
    "Reply",
    "Signals",
    "TokenCounter",
    "Upstream",
    "Upstreams",
]

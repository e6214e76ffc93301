"""What the door hands to the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.domain.call import Caller, CallKind
from gateway.domain.tenancy import Identity
from gateway.domain.value import value


@value
class Incoming:
    """One authenticated request whose body has not been read yet.

    accepted: monotonic seconds at which its headers were complete; every latency is measured from there.
    read_body: raises InvalidRequest for a body that is too large, too slow or in an encoding we refuse.
    """

    kind: CallKind
    identity: Identity
    caller: Caller
    accepted: float
    accepted_wall_ms: int
    read_body: Callable[[], Awaitable[bytes]]

"""What a class promises, as bounds on one request: what is left of them before it is sent, and whether they were met.

A stream's promise is its TTFT, TPOT and end-to-end time. Of a whole (non-streaming) answer only the end can be seen:
where a class bounds both TTFT and TPOT, a whole answer is late when the stream would have ended later than
`ttft + tpot * (output tokens - 1)`; a lone TTFT or TPOT bound guides routing and is not judged. See
docs/decisions/0040.
"""

from __future__ import annotations

import math

from gateway.domain.catalog import SlaClass
from gateway.domain.route import RouteAsk
from gateway.domain.value import value

UNBOUNDED = math.inf


@value
class Bounds:
    """What is left for one request, in milliseconds; infinite where nothing is promised.

    whole_ms: of an answer with no output; each output token after the first adds `whole_per_output_ms`.
    deadline_ms: of the class or the caller, the nearer one. end_bounded: whether the time of the last byte matters.
    """

    ttft_ms: float
    tpot_ms: float
    e2e_ms: float
    whole_ms: float
    whole_per_output_ms: float
    deadline_ms: float
    end_bounded: bool

    def end_ms(self, output_tokens: int) -> float:
        """When an answer of this length must be complete."""
        whole_ms = self.whole_ms + self.whole_per_output_ms * (output_tokens - 1 if output_tokens else 0)
        return whole_ms if whole_ms < self.e2e_ms else self.e2e_ms


def bounds_left(ask: RouteAsk, now: float) -> Bounds:
    """The class's bounds less what has passed since the gateway accepted the request: failed attempts count."""
    sla, waited_ms = ask.sla, (now - ask.accepted) * 1000.0
    ttft_ms = UNBOUNDED if sla.ttft_ms is None else sla.ttft_ms - waited_ms
    tpot_ms = UNBOUNDED if sla.tpot_ms is None else float(sla.tpot_ms)
    e2e_ms = UNBOUNDED if sla.e2e_ms is None else sla.e2e_ms - waited_ms
    deadline_ms = UNBOUNDED if sla.deadline_ms is None else sla.deadline_ms - waited_ms
    if ask.deadline is not None:
        deadline_ms = min(deadline_ms, (ask.deadline - now) * 1000.0)
    if ask.stream or sla.ttft_ms is None or sla.tpot_ms is None:
        end_bounded = e2e_ms != UNBOUNDED or deadline_ms != UNBOUNDED
        return Bounds(ttft_ms, tpot_ms, e2e_ms, UNBOUNDED, 0.0, deadline_ms, end_bounded)
    return Bounds(UNBOUNDED, UNBOUNDED, e2e_ms, ttft_ms, tpot_ms, deadline_ms, end_bounded=True)


def bounds_latency(sla: SlaClass) -> bool:
    """Whether anyone is waiting: False for classes with a deadline or nothing, whose slack pays for exploration."""
    return sla.ttft_ms is not None or sla.tpot_ms is not None or sla.e2e_ms is not None


def met(
    sla: SlaClass, *, stream: bool, ttft_ms: float | None, tpot_ms: float | None, e2e_ms: float, output_tokens: int
) -> bool | None:
    """Whether a complete answer kept every bound that can be seen of it; None where none can be seen.

    Times since the gateway accepted the request. TPOT is undefined below two tokens: then it passes.
    """
    if sla.e2e_ms is not None and e2e_ms > sla.e2e_ms:
        return False
    if sla.deadline_ms is not None and e2e_ms > sla.deadline_ms:
        return False
    ttft_bound_ms, tpot_bound_ms = sla.ttft_ms, sla.tpot_ms
    if stream:
        if ttft_bound_ms is not None and (e2e_ms if ttft_ms is None else ttft_ms) > ttft_bound_ms:
            return False
        return tpot_bound_ms is None or tpot_ms is None or output_tokens < 2 or tpot_ms <= tpot_bound_ms
    if ttft_bound_ms is not None and tpot_bound_ms is not None:
        return e2e_ms <= ttft_bound_ms + tpot_bound_ms * max(0, output_tokens - 1)
    if ttft_bound_ms is None and tpot_bound_ms is None:
        return True
    return True if sla.e2e_ms is not None or sla.deadline_ms is not None else None

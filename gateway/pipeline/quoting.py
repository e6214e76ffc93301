"""What this request would cost on each member: count, expect, price."""

from __future__ import annotations

from gateway.domain.amounts import Amounts
from gateway.domain.call import ModelCall
from gateway.domain.catalog import Member, ServedModel
from gateway.domain.route import Quote
from gateway.domain.usage import TokenUsage
from gateway.metering.estimate import InputEstimator
from gateway.metering.lengths import OutputLengths
from gateway.metering.pricing import marginal, rated
from gateway.ports.counter import Count

HOLD_QUANTILE = 0.98  # a hold without the caller's own bound covers this share of answers seen; see decision 0003


class Quoter:
    """Builds one quote per member of a served model."""

    def __init__(self, *, estimator: InputEstimator, lengths: OutputLengths) -> None:
        self._estimator = estimator
        self._lengths = lengths

    async def quotes(self, call: ModelCall, model: ServedModel, key_id: str) -> tuple[Quote, ...]:
        """In the order of the model's members. Awaits only where a large text is counted in a thread."""
        quotes = []
        for member in model.members:
            count = self._estimator.estimate(call, member.encoding, member.name)
            if not isinstance(count, Count):
                count = await count
            quotes.append(self._quote(call, model, member, key_id, count))
        return tuple(quotes)

    def _quote(self, call: ModelCall, model: ServedModel, member: Member, key_id: str, count: Count) -> Quote:
        greatest = output_bound(call, member, count.tokens)
        expected = covered = 0
        if greatest:
            expected = self._lengths.expected(model.name, key_id, greatest)
            covered = greatest
            if call.output_tokens_max is None:
                covered = self._lengths.quantile(model.name, key_id, HOLD_QUANTILE, greatest)
        return Quote(
            member=member,
            input_tokens=count.tokens,
            input_exact=count.exact,
            output_tokens_expected=expected,
            output_tokens_max=greatest,
            output_tokens_held=covered,
            expected=marginal(member.rates, TokenUsage(input_tokens=count.tokens, output_tokens=expected)),
        )


def held(quote: Quote) -> Amounts:
    """What a hold covers: rated, dollars rounded up."""
    usage = TokenUsage(input_tokens=quote.input_tokens, output_tokens=quote.output_tokens_held)
    return rated(quote.member.rates, usage, up=True)


def prompt_only(quote: Quote) -> Amounts:
    """The least a sent request costs, and what an expired lease is charged."""
    return rated(quote.member.rates, TokenUsage(input_tokens=quote.input_tokens), up=True)


def estimated(quote: Quote) -> Amounts:
    """Rated at the output we expect: what a stream's headers can say."""
    usage = TokenUsage(input_tokens=quote.input_tokens, output_tokens=quote.output_tokens_expected)
    return rated(quote.member.rates, usage)


def output_bound(call: ModelCall, member: Member, input_tokens: int) -> int:
    """The most output tokens this call can produce there, all choices together. 0 for calls without output."""
    if call.kind == "embedding":
        return 0
    bound = member.output_tokens_max
    if call.output_tokens_max is not None:
        bound = min(bound, call.output_tokens_max)
    if member.context_tokens_max is not None:
        bound = min(bound, max(1, member.context_tokens_max - input_tokens))
    return max(1, bound) * call.choices

"""What has been counted per (model, backend, team): plain integers in the ledger's units."""

from __future__ import annotations

from gateway.domain.record import AttemptRecord


class Account:
    """Sums over attempts. One object per label set, found once per attempt, so an addition is an attribute's.

    `metered` and `carbon_known` become true with the first attempt whose figure is known: until then there is no
    series, because unknown is not zero (law 8).
    """

    __slots__ = (
        "base_mj",
        "cached_input_tokens",
        "carbon_known",
        "carbon_ug",
        "marginal_mj",
        "metered",
        "output_tokens",
        "reasoning_tokens",
        "uncached_input_tokens",
        "usd_nanos",
    )

    def __init__(self) -> None:
        self.uncached_input_tokens = 0
        self.cached_input_tokens = 0
        self.output_tokens = 0
        self.reasoning_tokens = 0
        self.usd_nanos = 0
        self.marginal_mj = 0
        self.base_mj = 0
        self.carbon_ug = 0
        self.metered = False
        self.carbon_known = False

    def add(self, attempt: AttemptRecord) -> None:
        """Add an attempt: its tokens, its rated dollars, its attributed energy and carbon."""
        usage = attempt.usage
        self.uncached_input_tokens += usage.input_tokens - usage.cached_input_tokens
        self.cached_input_tokens += usage.cached_input_tokens
        self.output_tokens += usage.output_tokens - usage.reasoning_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        if attempt.rated is not None:
            self.usd_nanos += attempt.rated.usd_nanos
        self._add_energy(attempt)

    def _add_energy(self, attempt: AttemptRecord) -> None:
        """Attributed where it is known, else marginal alone; an attempt that did nothing makes nothing known."""
        marginal, whole = attempt.marginal, attempt.attributed or attempt.marginal
        if marginal is None or whole is None or not (attempt.usage.total_tokens or whole.energy_mj or whole.carbon_ug):
            return
        if whole.energy_mj is not None and marginal.energy_mj is not None:
            part_mj = min(marginal.energy_mj, whole.energy_mj)  # the parts add up to the whole, and neither falls
            self.marginal_mj += part_mj
            self.base_mj += whole.energy_mj - part_mj
            self.metered = True
        if whole.carbon_ug is not None:
            self.carbon_ug += whole.carbon_ug
            self.carbon_known = True

    def tokens_by_kind(self) -> tuple[tuple[str, int], ...]:
        """Tokens by disjoint kind."""
        return (
            ("uncached_input", self.uncached_input_tokens),
            ("cached_input", self.cached_input_tokens),
            ("output", self.output_tokens),
            ("reasoning", self.reasoning_tokens),
        )

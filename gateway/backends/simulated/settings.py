"""How fast a simulated backend is, and how much it carries at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SimulatedSettings:
    """Time to first token: base plus a part per 1,000 uncached prompt tokens. Time per output token: base plus a part

    per other request in progress. Milliseconds. models: names it answers to; empty means any.
    output_tokens: typical length of an answer nobody bounds. controls: whether `POST /simulate` exists.
    """

    name: str = "simulated"
    models: tuple[str, ...] = ()
    ttft_base_ms: float = 20.0
    ttft_per_1k_input_ms: float = 20.0
    tpot_base_ms: float = 5.0
    tpot_per_active_ms: float = 0.1
    concurrent_max: int = 64
    queue_max: int = 256
    output_tokens: int = 60
    prefixes_remembered: int = 1_024
    embedding_dimensions: int = 64
    seed: int = 1
    controls: bool = False

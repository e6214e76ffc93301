"""What a simulated backend did, as Prometheus text; to be held against what the gateway says it did."""

from __future__ import annotations

from dataclasses import dataclass, fields

HELP = {
    "requests_total": "Requests that were given a slot.",
    "requests_failed_total": "Requests answered with an error on command or for want of a slot.",
    "requests_cancelled_total": "Requests whose client left before the end.",
    "prompt_tokens_total": "Prompt tokens computed, without those found in the prefix cache.",
    "prompt_tokens_cached_total": "Prompt tokens found in the prefix cache.",
    "tokens_predicted_total": "Tokens generated.",
    "requests_processing": "Requests in progress.",
    "requests_deferred": "Requests waiting for a slot.",
}


@dataclass(slots=True)
class Books:
    """Counters and gauges; each field is a metric, prefixed `simulated_`."""

    requests_total: int = 0
    requests_failed_total: int = 0
    requests_cancelled_total: int = 0
    prompt_tokens_total: int = 0
    prompt_tokens_cached_total: int = 0
    tokens_predicted_total: int = 0
    requests_processing: int = 0
    requests_deferred: int = 0

    def text(self) -> str:
        """Prometheus' text format."""
        lines = []
        for field in fields(self):
            kind = "counter" if field.name.endswith("_total") else "gauge"
            name = f"simulated_{field.name}"
            lines += [
                f"# HELP {name} {HELP[field.name]}",
                f"# TYPE {name} {kind}",
                f"{name} {getattr(self, field.name)}",
            ]
        return "\n".join(lines) + "\n"

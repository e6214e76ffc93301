"""What the demo stages: which backends run, how the gateway is configured for them, and who talks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.bootstrap import real_model
from gateway.bootstrap.profiles import Shelf
from gateway.feeds.packaged import packaged_path

SIMULATED = ("swift", "steady", "thrifty")
SITE = {"name": "demo", "zone": "DE", "pue": "1.2", "usd_per_kwh": "0.15"}
REAL_PROFILE = """\
# A CPU server that takes about 40 W more while it computes: a guess, so tier E. The price of the machine is made up.
schema: joulegate.profile/1
id: demo/smollm2
kind: self_hosted
fictional: true
summary: SmolLM2-135M by llama.cpp on this machine's CPU
model: {name: SmolLM2-135M-Instruct, engine: llama.cpp, precision: q4_1, params_total_b: 0.135}
hardware: {gpu: none (CPU), count: 1}
capabilities: [chat, completion, json]
power:
  boundary: it
  idle_w: 20
  active_w: 60
  prefill_j_per_token: 0.02
  decode_j_per_token: 0.2
reference_load: {output_tok_s: 30}
capacity: {usd_per_gpu_hour: "0.05", source: made up for the demo, retrieved: 2026-11-23}
performance: {ttft_base_ms: 400, tpot_base_ms: 50, tpot_per_active_ms: 20, max_context: 2048, max_output: 512}
provenance: {tier: E}
"""
REAL_POLICY = """\
schema: joulegate.policy/1
models:
  - {name: chat, members: [laptop/chat]}
budgets:
  - {name: demo-day, scope: {team: demo}, limit_usd: "1.00", window: day}
  - {name: trial-day, scope: {team: trial}, limit_usd: "0.0002", window: day}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """backends: arguments of `python -m` by backend name. teams: people by team; the names stand in the policy.

    documents: files written beside the configuration. declared: the backends' part of it, without their urls.
    """

    what: str
    backends: Mapping[str, Sequence[str]]
    declared: Mapping[str, Mapping[str, object]]
    policy: str
    teams: Mapping[str, int]
    documents: Mapping[str, str] = field(default_factory=dict)
    model: str = "chat"
    answer_tokens: int = 120
    pause_s: float = 0.4
    classes: Sequence[str] = ()

    def write(
        self,
        home: Path,
        *,
        urls: Mapping[str, str],
        port: int,
        admin_port: int,
        token: str,
        drain_seconds: int,
    ) -> Path:
        """Write the configuration (JSON is YAML) and what it names; returns its path."""
        for name, text in self.documents.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        settings = {
            "listen": {"port": port},
            "admin": {"port": admin_port, "token": token},
            "data_dir": "data",
            "policies": [self.policy],
            "sites": [SITE],
            "backends": [{"name": name, "url": urls[name], **facts} for name, facts in self.declared.items()],
            "drain_seconds": drain_seconds,
        }
        path = home / "joulegate.yaml"
        path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        path.chmod(0o600)
        return path


def simulated_scene() -> Scene:
    """Three backends that differ in price, energy and speed; they are as fast as their profiles say."""
    shelf = Shelf()
    return Scene(
        what="three simulated backends (prices and power are fictional) and the gateway",
        backends={name: _simulator(shelf, name) for name in SIMULATED},
        declared={
            name: {"site": "demo", "profile": f"demo/{name}", "models": {"chat": {}}, "simulated": True}
            for name in SIMULATED
        },
        policy=str(packaged_path("policies", "demo.yaml")),
        teams={"demo": 10, "trial": 2},
        classes=("interactive", "interactive", "interactive", "relaxed", "batch"),  # how patient people are
    )


def _simulator(shelf: Shelf, name: str) -> Sequence[str]:
    pace = shelf.find(f"demo/{name}").profile.latency
    return (
        "gateway.bootstrap.simulate",
        *("--name", name, "--port", "0"),
        *("--ttft-base-ms", str(pace.ttft_base_ms), "--ttft-per-1k-input-ms", str(pace.ttft_per_1k_input_ms)),
        *("--tpot-base-ms", str(pace.tpot_base_ms), "--tpot-per-active-ms", str(pace.tpot_per_active_ms)),
    )


def real_scene() -> Scene:
    """A real llama.cpp server with a real small model. Raises NoModel where its wheels are missing."""
    real_model.require()
    return Scene(
        what="llama.cpp with SmolLM2-135M on this CPU, and the gateway",
        backends={"laptop": ("gateway.bootstrap.real_model", "--port", "0")},
        declared={
            "laptop": {
                "site": "demo",
                "profile": "demo/smollm2",
                "models": {"chat": {"upstream": real_model.MODEL}},
                "limits": {"concurrent": real_model.PARALLEL * 2},
            }
        },
        policy="policy.yaml",
        documents={"policy.yaml": REAL_POLICY, "profiles/demo/smollm2.yaml": REAL_PROFILE},
        teams={"demo": 1, "trial": 1},
        answer_tokens=48,
        pause_s=1.0,
    )

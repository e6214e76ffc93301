"""Configurations of tests, as text that a person could have written."""

from __future__ import annotations

from pathlib import Path

SETTINGS = """\
listen: {port: 0}
admin: {port: 0, token: "${ADMIN_TOKEN}"}
data_dir: ./data
policies: [policies/*.yaml]
sites:
  - {name: lab, pue: 1.2, usd_per_kwh: "0.10", zone: DE}
backends:
  - name: gpu-a
    url: http://127.0.0.1:9/v1
    site: lab
    profile: demo/steady
    models: {chat: {upstream: some-model}}
  - name: hosted
    url: https://api.example.com/v1
    api_key: "${HOSTED_KEY}"
    models: {chat: {profile: demo/swift}}
"""

POLICY = """\
classes:
  interactive: {ttft_ms: 1500, target: 0.99}
models:
  - {name: chat, members: [gpu-a/chat, hosted/chat], class: interactive}
budgets:
  - {name: support-month, scope: {team: support}, limit_usd: "250.00", window: month, zone: Australia/Sydney}
cases:
  - name: own hardware is cheaper, so it serves
    expect: {route: [gpu-a]}
"""

ENV = {"ADMIN_TOKEN": "an-admin-token-for-tests-only", "HOSTED_KEY": "a-key-of-the-vendor"}


def written(home: Path, *, settings: str = SETTINGS, policy: str = POLICY) -> Path:
    """A deployment on disk; the path of its settings."""
    (home / "policies").mkdir(parents=True, exist_ok=True)
    (home / "policies" / "chat.yaml").write_text(policy)
    path = home / "joulegate.yaml"
    path.write_text(settings)
    return path

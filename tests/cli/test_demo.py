"""`joulegate demo` on this machine: real processes, real ports, an end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "gateway", "demo", "--port", "0", "--admin-port", "0"]


def test_the_demo_ends_by_itself_with_a_summary_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--seconds", "5"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr
    assert "base_url" in done.stdout
    (summary,) = re.findall(r"^requests: (\d+) \(answers: (.*)\); rated \$([\d.]+)$", done.stdout, re.MULTILINE)
    assert int(summary[0]) > 0
    assert "x 200" in summary[1]
    assert "broken" not in summary[1]
    assert float(summary[2]) > 0
    assert "saved against the dearest backend" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_runs_until_ctrl_c(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    try:
        page = address_of_page(demo)
        answer = urllib.request.urlopen(page, timeout=10)

        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=60)
    finally:
        if demo.poll() is None:
            demo.kill()

    assert answer.status == 200
    assert demo.returncode == 0, err
    assert "rated $" in out


def address_of_page(demo: subprocess.Popen[str], seconds: float = 60.0) -> str:
    """From what the demo prints."""
    assert demo.stdout is not None
    until = time.monotonic() + seconds
    while time.monotonic() < until and (line := demo.stdout.readline()):
        if found := re.match(r"page +(http://\S+)", line):
            return found[1]
    raise AssertionError("the demo printed no page")

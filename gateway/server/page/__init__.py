"""The operators' page: one HTML file that needs nothing else, and the policy that holds a browser to that."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """The file, and the headers it is served with."""

    html: str
    headers: dict[str, str]


def read_page() -> Page:
    """Read `index.html`; its own style and script are allowed by their hashes, everything else is not."""
    html = files(__package__).joinpath("index.html").read_text("utf-8")
    blocks = INLINE.findall(html)
    sources = {
        kind: " ".join(f"'sha256-{_digest(text)}'" for tag, text in blocks if tag == kind) or "'none'"
        for kind in ("style", "script")
    }
    policy = (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(
        html,
        {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        },
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

"""Takes secrets out of text that others wrote. The last line of defence; the first is not to log such text."""

from __future__ import annotations

import re
import traceback

TEXT_MAX = 300  # characters of one logged text
FRAMES_MAX = 8  # innermost frames of one logged exception
NAME = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}\Z")

PATTERNS = (
    (re.compile(r"(?P<kept>[a-z][a-z0-9+.-]*://)[^\s/@]*@", re.IGNORECASE), r"\g<kept>***@"),  # user:password@host
    (re.compile(r"(?P<kept>[a-z][a-z0-9+.-]*://[^\s?#]*)[?#]\S*", re.IGNORECASE), r"\g<kept>?***"),  # query, fragment
    (re.compile(r"(?P<kept>\b(?:bearer|basic)\s+)\S+", re.IGNORECASE), r"\g<kept>***"),
    (re.compile(r"\b(?:sk|pk|jg|joulegate|hf|xox[a-z]|gh[a-z])[-_][A-Za-z0-9_-]{8,}"), "***"),  # keys of known makers
    (re.compile(r"[A-Za-z0-9_+=-]{40,}"), "***"),  # anything as long and as dense as a key
)


def scrub(text: str) -> str:
    """`text` without URL credentials, queries, bearer tokens and what looks like a key; at most TEXT_MAX characters."""
    text = text[: 4 * TEXT_MAX]
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return text[:TEXT_MAX]


def name_or_mark(text: str) -> str:
    """`text` if it looks like a name. A model name comes from the caller: any prose may stand there."""
    return text if NAME.match(text) else "?"


def describe(error: BaseException) -> dict[str, str]:
    """An exception's type, place and causes, and an operating system error's own words.

    Its message is left out: libraries quote what they choked on, which may be a prompt or a key. So are locals.
    """
    told = {"error_type": " < ".join(type(cause).__name__ for cause in causes(error)), "error_at": where(error)}
    if isinstance(error, OSError) and error.strerror:
        told["error"] = scrub(error.strerror)
    return told


def causes(error: BaseException | None) -> list[BaseException]:
    """The exception and what led to it, at most five."""
    chain: list[BaseException] = []
    while error is not None and error not in chain and len(chain) < 5:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain


def where(error: BaseException) -> str:
    """Innermost frames as `file:line function`, the last one first."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    return " < ".join(f"{short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def short(filename: str) -> str:
    """The last two parts of a path: enough to find the file, nothing about the machine."""
    return "/".join(filename.split("/")[-2:])

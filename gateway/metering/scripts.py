"""What kind of writing a text is: tokenizers differ by script far more than by subject (see docs/decisions/0032).

Looks at a bounded sample, so that the cost of classifying does not grow with the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum


class Script(StrEnum):
    """Classes for which one ratio between two tokenizers holds within a few per cent."""

    ASCII = "ascii"  # English and other prose without accents
    CODE = "code"  # program text, JSON, markup
    LATIN = "latin"  # accented
    CJK = "cjk"
    CYRILLIC = "cyrillic"
    ARABIC = "arabic"
    INDIC = "indic"
    OTHER = "other"


SAMPLES = 4
SAMPLE_CHARS = 160
CODE_MARKS = b'{}[]();=<>_"\\/'
CODE_SHARE = 0.06  # of the characters: prose stays under 0.03, Python and JSON over 0.08
SCRIPT_SHARE = 0.01  # accented letters are 1.5 % of German; one foreign name in a page is less
LETTERS = {
    Script.CJK: re.compile("[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"),
    Script.CYRILLIC: re.compile("[\u0400-\u052f]"),
    Script.ARABIC: re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefe]"),
    Script.INDIC: re.compile("[\u0900-\u0dff]"),
    Script.LATIN: re.compile("[\u00c0-\u024f\u1e00-\u1eff]"),
    Script.OTHER: re.compile("[\u0370-\u03ff\u0530-\u05ff\u0e00-\u10ff\u1200-\u1dff\U00010000-\U0010ffff]"),
}


def script_of(texts: Sequence[str]) -> Script:
    """The class of the texts together, by a sample of at most SAMPLES * SAMPLE_CHARS characters."""
    sample = _sample(texts)
    if not sample:
        return Script.ASCII
    if not sample.isascii():
        found = {script: len(letters.findall(sample)) for script, letters in LETTERS.items()}
        script = max(found, key=found.__getitem__)
        if found[script] >= SCRIPT_SHARE * len(sample):
            return script
    raw = sample.encode("utf-8", "replace")
    marks = len(raw) - len(raw.translate(None, CODE_MARKS))  # 0.9 us; counting each mark in the str takes 6
    return Script.CODE if marks >= CODE_SHARE * len(sample) else Script.ASCII


def _sample(texts: Sequence[str]) -> str:
    """From the middle of the longest of the first, last and inner texts: edges are greetings and closing braces."""
    step = max(1, len(texts) // SAMPLES)
    chosen = [*texts[::step][: SAMPLES - 1], *texts[-1:]]
    return "".join(map(_middle, chosen))


def _middle(text: str) -> str:
    start = max(0, (len(text) - SAMPLE_CHARS) // 2)
    return text[start : start + SAMPLE_CHARS]

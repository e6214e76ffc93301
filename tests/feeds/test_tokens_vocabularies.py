"""The vocabularies are the pinned ones, and nothing of the process is touched to load them."""

from __future__ import annotations

import os
import socket

import pytest
import tiktoken_ext.openai_public
from tiktoken.load import load_tiktoken_bpe

from gateway.feeds.vocabularies import BadVocabulary, read_ranks, tiktoken_encoding


def test_an_encoding_loads_without_network_and_leaves_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    before = dict(os.environ)

    encoding = tiktoken_encoding("cl100k_base")

    assert encoding.encode_ordinary("hello world") == [15339, 1917]  # published example of tiktoken's documentation
    assert dict(os.environ) == before
    assert tiktoken_ext.openai_public.load_tiktoken_bpe is load_tiktoken_bpe


def test_harmony_adds_special_tokens_and_nothing_else() -> None:
    harmony, base = tiktoken_encoding("o200k_harmony"), tiktoken_encoding("o200k_base")

    assert harmony.n_vocab > base.n_vocab
    assert harmony.encode_ordinary("hello <|start|> world") == base.encode_ordinary("hello <|start|> world")


def test_a_vocabulary_that_differs_from_the_pinned_hash_is_refused() -> None:
    with pytest.raises(BadVocabulary, match=r"o200k_base\.tiktoken: SHA-256 differs"):
        read_ranks("any/o200k_base.tiktoken", expected_hash="0" * 64)


def test_a_vocabulary_that_is_not_packaged_is_refused() -> None:
    with pytest.raises(BadVocabulary, match=r"cannot read the packaged vocabulary r50k_base\.tiktoken\.gz"):
        read_ranks("any/r50k_base.tiktoken", expected_hash="0" * 64)

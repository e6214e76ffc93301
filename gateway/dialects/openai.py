"""The OpenAI wire format: chat completions, completions, embeddings. All that the pipeline needs of it, by name.

parse, upstream_path, upstream_body    requests.py    caller's body to ModelCall, ModelCall to upstream's body
read_answer, price_answer, error_body  answers.py     whole JSON answers
StreamReader                           streams.py     streams, on sse.py
priced_usage                           usage.py       the usage object, both ways
"""

from __future__ import annotations

from gateway.dialects.answers import AnswerFacts, error_body, price_answer, read_answer
from gateway.dialects.requests import parse, upstream_body, upstream_path
from gateway.dialects.streams import StreamReader
from gateway.dialects.usage import priced_usage

__all__ = [
    "AnswerFacts",
    "StreamReader",
    "error_body",
    "parse",
    "price_answer",
    "priced_usage",
    "read_answer",
    "upstream_body",
    "upstream_path",
]

"""The fast counter and the reference give the same counts, on whatever text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feeds.tokens import CountText, count_each, fast_tokenizer, reference_tokenizer
from gateway.feeds.vocabularies import BASES

NASTY = [
    "",
    " ",
    "a" * 10_000,
    " " * 10_000,
    "\n" * 10_000,
    "\r\n" * 3_000,
    "\t \n" * 3_000,
    "^" * 10_000,
    "中" * 5_000,
    "<|endoftext|>",
    "before <|endoftext|> after <|im_start|><|fim_prefix|><|endofprompt|>",
    "😀👩‍👩‍👧‍👦🏳️‍🌈" * 200,
    "e\u0301" * 1_000,
    "नमस्ते दुनिया " * 200,
    "مرحبا بالعالم " * 200,
    "Здравствуй, мир! " * 200,
    "I'M you're WE'LL don't can'T o'clock 'sup " * 50,
    "1234567890" * 500,
    "\x00\x01\x7f\x80\xa0\u2028\u2029\ufeff\uffff",
    '{"a": [1, 2.5e-10, {"b": null}], "c": "d\\n"}' * 100,
    "def f(x):\n    return x ** 2  # squared\n\n\n" * 100,
    "https://example.com/a/b?c=d&e=f#g " * 50,
    "qwzxvkjhqpowieurytlaksjdhfgmznxbcv" * 300,
    "\ud800 alone",
]
WRITING = st.one_of(
    st.text(max_size=400),
    st.text(alphabet="aA \n\t'.,0s-", max_size=400),
    st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lo", "Nd", "Zs", "Mn", "So"]), max_size=200),
    st.lists(
        st.sampled_from(["the ", "Token", " 's", "\n\n", "  ", "123", "中文", "é", "🎉", "<|", "|>"]), max_size=80
    ).map("".join),
)


@pytest.fixture(scope="module", params=BASES)
def counters(request: pytest.FixtureRequest) -> tuple[CountText, CountText]:
    fast = fast_tokenizer()
    if fast is None:
        pytest.skip("toktok-rs is not installed: pip install 'joulegate[fast]'")
    return fast.load(request.param), reference_tokenizer().load(request.param)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_texts_count_alike(counters: tuple[CountText, CountText], text: str) -> None:
    fast, reference = counters

    assert count_each(fast, [text]) == count_each(reference, [text])


@settings(max_examples=1_000, deadline=None)
@given(WRITING)
def test_any_text_counts_alike(counters: tuple[CountText, CountText], text: str) -> None:
    fast, reference = counters

    assert count_each(fast, [text]) == count_each(reference, [text])


def test_a_special_token_in_a_callers_text_is_ordinary_text(counters: tuple[CountText, CountText]) -> None:
    assert [count("<|endoftext|>") for count in counters] == [7, 7]

"""Classes of writing, by a bounded sample."""

from __future__ import annotations

import pytest

from gateway.metering.scripts import Script, script_of

TEXTS = {
    "The quick brown fox jumps over the lazy dog, and nobody knows why it does (or for whom).": Script.ASCII,
    "It\u2019s \u201cquoted\u201d \u2013 still English, however curly its marks are.": Script.ASCII,
    "Die Größe der Häuser überraschte uns, und die Straße war länger als gedacht.": Script.LATIN,
    "L'été dernier, nous avons mangé des crêpes à la plage près de la forêt.": Script.LATIN,
    "人工智能正在改变世界，我们需要关注它的能耗。": Script.CJK,
    "これは日本語の文章です。": Script.CJK,
    "한국어 문장입니다. 에너지가 중요합니다.": Script.CJK,
    "Здравствуйте, как ваши дела сегодня?": Script.CYRILLIC,
    "مرحبا، كيف حالك اليوم؟": Script.ARABIC,
    "नमस्ते, आप कैसे हैं?": Script.INDIC,
    "Γειά σου, τι κάνεις σήμερα;": Script.OTHER,
    "สวัสดีครับ วันนี้เป็นอย่างไรบ้าง": Script.OTHER,
    "def route(self, quotes: list[Quote]) -> Route:\n    return min(quotes, key=lambda q: q.cost)\n": Script.CODE,
    '{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}': Script.CODE,
    "": Script.ASCII,
}


@pytest.mark.parametrize(("text", "script"), TEXTS.items(), ids=range(len(TEXTS)))
def test_writing_is_recognised(text: str, script: Script) -> None:
    assert script_of([text]) is script


def test_no_texts_are_plain() -> None:
    assert script_of([]) is Script.ASCII


def test_the_greater_part_decides() -> None:
    assert script_of(["You are a helpful assistant.", "人工智能正在改变世界" * 5, "好的，我明白了" * 5]) is Script.CJK


def test_one_foreign_name_does_not_change_the_class_of_a_page() -> None:
    assert script_of(["The committee met in the morning. " * 4 + "Mr. Müller came late."]) is Script.ASCII

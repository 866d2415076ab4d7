"""What reads alike becomes alike: scripts, widths, accents and numbers."""

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.recall.folding import folded
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import tokens_of, words_of


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("我們家裡有三隻貓", "我们家里有三只猫"),
        ("颱風來了，關窗戶", "台风来了，关窗户"),
        ("電腦壞了", "电脑坏了"),
        ("聽說妳喜歡喫麵", "听说你喜欢吃面"),
    ],
)
def test_traditional_and_simplified_are_one(traditional: str, simplified: str) -> None:
    assert folded(traditional) == folded(simplified)
    assert tokens_of(traditional) == tokens_of(simplified)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("十二岁", "12岁"),
        ("二〇二三年", "2023年"),
        ("两只", "2只"),
        ("一百零五斤", "105斤"),
        ("三万五千块", "35000块"),
        ("十个", "10个"),
        ("二十三号", "23号"),
        ("一百二十个", "120个"),
    ],
)
def test_a_numeral_before_what_is_counted_is_a_number(written: str, number: str) -> None:
    assert folded(written) == number


@pytest.mark.parametrize("word", ["三明治", "万一", "一起", "星期三", "九寨沟", "三" * 50 + "年"])
def test_a_numeral_within_a_word_stays(word: str) -> None:
    assert folded(word) == word


def test_english_number_words_are_numbers() -> None:
    assert words_of("three cats and twenty-two mice") == words_of("3 cats and 20 2 mice")
    assert words_of("no one came") == ["one", "com"]


def test_folding_twice_changes_nothing_more() -> None:
    text = "我們三個人在二〇二三年去了Café Ｒｏｍａ"
    assert folded(folded(text)) == folded(text)

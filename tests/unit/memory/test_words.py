"""Cutting texts into tokens: English forms, Chinese pairs, and whatever else a person may type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.recall.stem import stem
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import (
    query_tokens,
    token_of,
    tokens_of,
    unspaced_share,
    word_weight,
    words_of,
)


@pytest.mark.parametrize(
    "forms",
    [
        ("like", "likes", "liked", "liking"),
        ("cat", "cats"),
        ("colour", "color", "colours", "colors"),
        ("party", "parties"),
        ("run", "running", "runs", "ran"),
        ("favourite", "favorite"),
        ("teach", "teaches", "taught", "teaching"),
        ("child", "children"),
        ("live", "lives", "lived", "living"),
        ("box", "boxes"),
        ("watch", "watches", "watched", "watching"),
        ("travel", "travels", "traveled", "traveling"),
        ("stop", "stopped", "stopping"),
        ("organize", "organizes", "organized"),
    ],
)
def test_forms_of_a_word_meet(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1, {form: stem(form) for form in forms}


@pytest.mark.parametrize(("one", "other"), [("cat", "car"), ("bus", "bush"), ("glass", "glad"), ("hose", "house")])
def test_different_words_stay_apart(one: str, other: str) -> None:
    assert stem(one) != stem(other)


def test_a_question_shares_its_words_with_the_fact() -> None:
    asked = set(words_of("What is my favourite colour?"))
    assert asked == set(words_of("favorite colors"))
    assert asked < set(words_of("My favourite colour is teal."))


def test_words_that_hold_sentences_together_are_left_out() -> None:
    assert words_of("What is it that you don't know about me?") == []


def test_chinese_is_cut_into_characters_and_pairs_between_what_is_empty() -> None:
    assert words_of("颜色是什么") == ["颜", "色", "颜色"]
    assert words_of("我住在哪里？") == ["住"]
    assert "青色" in words_of("我最喜欢的颜色是青色。")
    assert "欢的" not in words_of("我最喜欢的颜色是青色。")


def test_a_single_character_weighs_less_than_a_pair() -> None:
    assert word_weight("猫") < word_weight("颜色") == word_weight("cat") == word_weight("x")


def test_mixed_scripts_and_numbers() -> None:
    assert words_of("我住在Hangzhou 3号楼") == ["住", "hangzhou", "3", "号", "楼", "号楼"]
    assert words_of("room 42b, 7:30") == ["room", "42", "b", "7", "30"]
    assert set(words_of("ＴＥＡＬ")) == set(words_of("teal"))
    assert words_of("Café") == words_of("cafe")
    assert words_of("Ünal's dog") == ["unal", "dog"]


def test_other_scripts_are_found_too() -> None:
    assert words_of("собака й") == ["собака", "й"]
    assert "고양" in words_of("고양이")
    assert "がく" in words_of("がくせい")


def test_tokens_fit_a_signed_column_and_never_change() -> None:
    assert (token_of("teal"), token_of("青色")) == (-1276668279, -695643683)
    assert tokens_of("teal teal") == [token_of("teal")] * 2
    assert query_tokens("teal teal") == {token_of("teal"): 1.0}


@pytest.mark.parametrize(("text", "share"), [("", 0.0), ("hello", 0.0), ("你好", 1.0), ("ab你好", 0.5), ("?!", 0.0)])
def test_share_of_unspaced_script(text: str, share: float) -> None:
    assert unspaced_share(text) == share


@given(st.text())
def test_any_text_can_be_cut(text: str) -> None:
    assert all(-(2**31) <= token < 2**31 for token in tokens_of(text))
    assert words_of(text) == words_of(text)


def test_a_megabyte_is_cut_off() -> None:
    assert len(words_of("word " * 250_000)) <= 2000

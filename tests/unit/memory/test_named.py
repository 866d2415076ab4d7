"""Whom a question is about, and how that person would put it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.recall.named import (
    NOBODY,
    in_first_person,
    name_tokens,
    named_in,
    speaker_number,
)
from xiaozhi_server.core.providers.memory.mem0ai.recall.rank import question_of
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import token_of


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("What did Ann paint?", ["Ann"], "What did I paint?"),
        ("What is Ann's favourite colour?", ["Ann"], "What is my favourite colour?"),
        ("Where does ann live?", [], "Where does ann live?"),
        ("where does ann live?", ["Ann"], "where does I live?"),
        ("What did Anna paint?", [], "What did Anna paint?"),
        ("What does Will like?", ["Will"], "What does I like?"),
        ("What will it be?", [], "What will it be?"),
        ("小雨最喜欢什么颜色？", ["小雨"], "我最喜欢什么颜色？"),
        ("Ann喜欢什么颜色？", ["Ann"], "我喜欢什么颜色？"),
        ("What did Mary paint?", ["Mary Lou Smith"], "What did I paint?"),
        ("What did Mary Lou Smith paint?", ["Mary Lou Smith"], "What did I paint?"),
    ],
)
def test_whom_a_question_is_about(text: str, names: list[str], said: str) -> None:
    speakers = ["Ann", "Will", "小雨", "Mary Lou Smith", " "]
    assert named_in(text, speakers) == names
    assert in_first_person(text, names) == said


def test_a_question_about_one_of_the_speakers() -> None:
    question = question_of("What did Ann paint?", multilingual=False, speakers=["Ann", "Ben"])
    assert question.named == {speaker_number("ann ")}
    assert question.name_tokens == {token_of("ann")}
    assert question.to_embed == "What did I paint?"


@pytest.mark.parametrize("text", ["What did we paint?", "What did Ann and Ben paint?"])
def test_a_question_about_nobody_or_all(text: str) -> None:
    question = question_of(text, multilingual=False, speakers=["Ann", "Ben"])
    assert question.named == question.name_tokens == frozenset()


def test_a_speaker_as_a_number() -> None:
    assert speaker_number(None) == speaker_number("  ") == NOBODY
    assert speaker_number("Zoë") == speaker_number("zoe") != speaker_number("Ann")
    assert name_tokens(["小雨"]) == {token_of("小雨")}


@given(text=st.text(max_size=50), names=st.lists(st.text(max_size=10), max_size=3))
def test_any_name_can_be_looked_for(text: str, names: list[str]) -> None:
    found = named_in(text, names)
    assert isinstance(in_first_person(text, found), str)

"""What a text is besides its words: a question, an answer that did not know, something said to a person by name."""

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.recall.traits import (
    ADDRESSES,
    ASKS,
    ASSISTANT,
    IGNORANCE,
    is_ignorance,
    is_question,
    traits_of,
)


@pytest.mark.parametrize(
    "text",
    ["Is it?", "你在哪里？", "你喜欢吗", "what is it", "What's up", "Really?!", '"Why?"', "我最喜欢的颜色是什么"],
)
def test_questions_are_recognised(text: str) -> None:
    assert is_question(text)


@pytest.mark.parametrize("text", ["", "I know.", "Whatever.", "我喜欢猫。", "Somewhat fine"])
def test_statements_are_recognised(text: str) -> None:
    assert not is_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "I do not know what your cat is called.",
        "I don't know that yet.",
        "You haven't told me your favourite colour.",
        "I'm not sure where you live.",
        "Sorry, I don’t remember.",
        "I have no memory of that.",
        "我还不知道你住在哪里。",
        "抱歉，我不太清楚。",
        "你还没有告诉我。",
    ],
)
def test_answers_that_did_not_know_are_recognised(text: str) -> None:
    assert is_ignorance(text)


@pytest.mark.parametrize(
    "text", ["Your cat is called Momo.", "I know: you live in Ulm!", "You told me you cannot eat nuts.", "你住在杭州。"]
)
def test_answers_that_knew_are_kept(text: str) -> None:
    assert not is_ignorance(text)


@pytest.mark.parametrize(
    "text", ["Ann, look at that!", "You are right, Ann.", "thanks Ann for the cake", "Great Ann! Go on.", "Hi Ann"]
)
def test_names_that_are_called_are_recognised(text: str) -> None:
    assert traits_of(text, "user") & ADDRESSES


@pytest.mark.parametrize(
    "text", ["Ann likes teal.", "I met Ann and Ben in Rome.", "My sister Ann, who sings.", "小雨怕打雷。"]
)
def test_names_that_are_spoken_of_are_not(text: str) -> None:
    assert not traits_of(text, "user") & ADDRESSES


def test_the_bits_of_a_row() -> None:
    assert traits_of("I like teal.", "user") == 0
    assert traits_of("Do you like teal?", "assistant") == ASSISTANT | ASKS
    assert traits_of("I do not know that.", "assistant") == ASSISTANT | IGNORANCE

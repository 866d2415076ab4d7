"""The one ranking: words and meaning decide, being new decides between equals, questions answer nothing."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.recall.rank import (
    Candidate,
    Corpus,
    Ranked,
    is_ignorance,
    is_question,
    question_of,
    rank,
)
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import tokens_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def candidate(
    text: str, similarity: float | None = None, *, role: str = "user", age_days: float = 1.0, id: str = ""
) -> Candidate:
    return Candidate(id or text, text, role, NOW - timedelta(days=age_days), tokens_of(text), similarity)


def corpus_of(candidates: list[Candidate]) -> Corpus:
    frequency = Counter(token for one in candidates for token in set(one.tokens))
    mean = sum(len(one.tokens) for one in candidates) / max(1, len(candidates))
    return Corpus(len(candidates), mean, frequency)


def ranked(query: str, candidates: list[Candidate], *, multilingual: bool = False) -> list[Ranked]:
    return rank(question_of(query, multilingual=multilingual), candidates, corpus_of(candidates), NOW)


def first(query: str, candidates: list[Candidate]) -> str:
    return ranked(query, candidates)[0].candidate.text


def test_rare_words_count_more_than_common_ones() -> None:
    lines = [candidate(f"My favourite dish number {n} is soup.") for n in range(20)]
    lines.append(candidate("The colour of the door is teal."))
    assert first("What is my favourite colour of door?", lines) == "The colour of the door is teal."


def test_meaning_finds_what_shares_no_word() -> None:
    lines = [candidate("Our dog is called Rex.", 0.62), candidate("The weather was fine.", 0.05)]
    assert first("What is the name of my pet?", lines) == "Our dog is called Rex."


def test_words_lead_where_the_embedder_does_not_know_the_language() -> None:
    right, wrong = candidate("我最喜欢的颜色是青色。", 0.55), candidate("今天天气很好。", 0.80)
    assert first("我最喜欢的颜色是什么？", [wrong, right]) == right.text


@pytest.mark.parametrize(
    "query", ["What do you know about me?", "What have I told you?", "Tell me everything you know", "你了解我什么？"]
)
def test_a_question_without_a_word_of_its_own_brings_what_was_told(query: str) -> None:
    told = [candidate("My wife eats no fish.", 0.12), candidate("我住在上海。", 0.1)]
    talk = [
        candidate("What is the meaning of life?", 0.6),
        candidate("I only know what you have told me.", 0.7, role="assistant"),
        candidate("Do you know when Mia was born?", 0.65),
    ]
    assert [one.candidate for one in ranked(query, talk + told)][:2] == told


def test_a_repeated_question_is_no_answer() -> None:
    fact = candidate("My favourite colour is teal.", 0.85, age_days=30)
    echoes = [
        candidate("What is my favourite colour?", 1.0, age_days=0),
        candidate("what's my favourite colour", 0.97, age_days=0),
    ]
    assert first("What is my favourite colour?", [*echoes, fact]) == fact.text


def test_what_was_said_back_counts_less() -> None:
    fact = candidate("My cat is called Momo.", 0.7)
    reply = candidate("I do not know what your cat is called.", 0.75, role="assistant")
    assert first("What is my cat called?", [reply, fact]) == fact.text


def test_the_newer_of_equals_comes_first() -> None:
    old = candidate("I live in Ulm.", 0.5, age_days=300, id="old")
    new = candidate("I live in Ulm.", 0.5, age_days=1, id="new")
    assert [one.candidate.id for one in ranked("Where do I live?", [old, new])] == ["new", "old"]


def test_without_a_vector_words_alone_decide() -> None:
    best = ranked("my favourite colour", [candidate("Favourite colour: teal"), candidate("Nothing here")])[0]
    assert best.candidate.text == "Favourite colour: teal"
    assert best.semantic_score is None
    assert best.score > 0.5


def test_nothing_to_rank() -> None:
    assert ranked("anything", []) == []


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


@given(
    query=st.text(max_size=60),
    texts=st.lists(st.text(max_size=60), max_size=8),
    similarity=st.one_of(st.none(), st.floats(-1, 1)),
    age_days=st.floats(-10, 10_000),
    multilingual=st.booleans(),
)
def test_scores_stay_within_bounds(
    query: str, texts: list[str], similarity: float | None, age_days: float, multilingual: bool
) -> None:
    lines = [candidate(text, similarity, age_days=age_days) for text in texts]
    found = ranked(query, lines, multilingual=multilingual)
    assert len(found) == len(lines)
    assert all(0.0 <= one.score <= 1.0 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)

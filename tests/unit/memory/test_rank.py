"""The one ranking: words and meaning decide, being new decides between equals, questions answer nothing."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.recall.candidates import Candidate, Corpus, Ranked, rank
from xiaozhi_server.core.providers.memory.mem0ai.recall.rank import RowArrays, fuse, question_of
from xiaozhi_server.core.providers.memory.mem0ai.recall.things import Thing, Things
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import token_of, tokens_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def candidate(
    text: str,
    similarity: float | None = None,
    *,
    role: str = "user",
    age_days: float = 1.0,
    id: str = "",
    session: str = "",
    position: int = 0,
    speaker: str | None = None,
) -> Candidate:
    said_at = NOW - timedelta(days=age_days)
    return Candidate(id or text, text, role, said_at, tokens_of(text), similarity, session, position, speaker)


def corpus_of(candidates: list[Candidate]) -> Corpus:
    frequency = Counter(token for one in candidates for token in set(one.tokens))
    mean = sum(len(one.tokens) for one in candidates) / max(1, len(candidates))
    return Corpus(len(candidates), mean, frequency)


def ranked(query: str, candidates: list[Candidate], *, multilingual: bool = False, floor: float = 0.0) -> list[Ranked]:
    speakers = {one.speaker for one in candidates if one.speaker}
    question = replace(question_of(query, multilingual=multilingual, speakers=speakers), floor=floor)
    return rank(question, candidates, corpus_of(candidates), NOW)


def score_of(text: str, query: str, candidates: list[Candidate]) -> float:
    return next(one.score for one in ranked(query, candidates) if one.candidate.text == text)


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


def talk(*lines: str, session: str = "s") -> list[Candidate]:
    return [candidate(line, 0.1, session=session, position=place) for place, line in enumerate(lines)]


def test_an_answer_is_found_by_the_question_before_it() -> None:
    lines = talk("Which colour shall the door have?", "Teal, I would say.", "And the roof is to be brown.")
    other = candidate("Teal, I would say!", 0.1, session="another")
    order = [one.candidate.text for one in ranked("What colour is the door?", [*lines, other])]
    assert order.index("Teal, I would say.") < order.index("And the roof is to be brown.") < order.index(other.text)


def test_a_question_lifts_what_follows_more_than_a_statement_does() -> None:
    asked, told = talk("Shall the door be blue?", "Yes."), talk("The door shall be blue.", "Yes.", session="t")
    after_question, after_statement = (
        next(one.score for one in ranked("blue door", [*asked, *told]) if one.candidate is line)
        for line in (asked[1], told[1])
    )
    assert after_question > after_statement


def test_neighbours_are_those_of_the_same_session() -> None:
    alone = [candidate("The door is blue.", 0.1), candidate("It took me a day.", 0.1)]
    together = talk("The door is blue.", "It took me a day.")
    assert score_of("It took me a day.", "blue door", together) > score_of("It took me a day.", "blue door", alone)


def test_rows_that_lie_apart_are_no_neighbours() -> None:
    def arrays(apart: bool) -> RowArrays:
        return RowArrays(
            similarity=np.array([0.9, 0.1], np.float32),
            coverage=np.zeros(2, np.float32),
            traits=np.zeros(2, np.uint8),
            distinct=np.ones(2, np.int32),
            matched=np.zeros(2, np.int32),
            said_at=np.zeros(2),
            session=np.zeros(2, np.int32),
            apart=np.array([apart, False]),
        )

    question = question_of("teal", multilingual=True)
    assert fuse(question, arrays(False), 0.0)[1] > fuse(question, arrays(True), 0.0)[1]


def test_the_time_that_is_asked_for_decides_between_equals() -> None:
    lines = [candidate("We went swimming.", 0.4, age_days=days, id=f"{days}") for days in (3, 40, 140, 500)]
    assert ranked("What did we do in July?", lines)[0].candidate.id == "140"
    assert ranked("When did we swim last year?", lines)[0].candidate.id == "500"
    assert ranked("What did we do on 12 October 2026?", lines)[0].candidate.id == "40"


def test_the_person_who_is_asked_about_speaks_first() -> None:
    lines = [
        candidate("I am allergic to nuts.", 0.6, speaker="Ann", id="ann"),
        candidate("I am allergic to nuts.", 0.6, speaker="Ben", id="ben"),
    ]
    assert ranked("What is Ann allergic to?", lines)[0].candidate.id == "ann"
    assert ranked("What is Ben allergic to?", lines)[0].candidate.id == "ben"


def test_who_speaks_about_that_person_is_heard_and_who_speaks_to_her_is_not() -> None:
    about = candidate("Ann is allergic to nuts.", 0.6, speaker="Ben")
    to = candidate("You are allergic to nuts, Ann.", 0.6, speaker="Ben")
    neither = candidate("I am allergic to nuts.", 0.6, speaker="Ben")
    hers = candidate("I slept well.", 0.1, speaker="Ann")
    found = ranked("What is Ann allergic to?", [about, to, neither, hers])
    assert found[0].candidate is about
    assert next(one for one in found if one.candidate is to).score < 0.7 * found[0].score


def test_where_all_are_asked_about_nobody_is_put_back() -> None:
    lines = [candidate("I like teal.", 0.6, speaker=name, id=name) for name in ("Ann", "Ben")]
    together = ranked("What do Ann and Ben like?", lines)
    assert together[0].score == pytest.approx(together[1].score)


def test_the_floor_of_an_embedder_is_no_likeness() -> None:
    near, far = candidate("Rex is our dog.", 0.95), candidate("The pet shop is closed.", 0.77)
    narrow = ranked("pet", [near, far], multilingual=True, floor=0.75)
    assert narrow[0].candidate is near
    assert ranked("pet", [near, far], multilingual=True)[0].candidate is far
    assert narrow[0].semantic_score == pytest.approx(0.95)


def arrays(rows: int, **more: object) -> RowArrays:
    """Rows that fit equally well, each for itself."""
    return RowArrays(
        similarity=np.full(rows, 0.5, np.float32),
        coverage=np.full(rows, 0.5, np.float32),
        traits=np.zeros(rows, np.uint8),
        distinct=np.full(rows, 9, np.int32),
        matched=np.ones(rows, np.int32),
        said_at=np.zeros(rows),
        session=np.full(rows, -1, np.int32),
        **more,  # type: ignore[arg-type]
    )


def flags(*values: bool) -> np.ndarray:
    return np.array(values, np.bool_)


def test_what_is_about_the_thing_asked_about_is_lifted_by_a_share_of_what_is_missing() -> None:
    question = question_of("Does my sister like teal?", multilingual=True)
    far_off = 1e12  # nothing is new
    plain = float(fuse(question, arrays(1), far_off)[0])
    lifted = fuse(question, arrays(2, about=flags(True, False)), far_off)
    assert lifted[1] == pytest.approx(plain)
    assert lifted[0] == pytest.approx(0.97 * (plain / 0.97 + 0.35 * (1 - plain / 0.97)))
    assert fuse(question, arrays(2, about=flags(True, True)), 0.0).max() <= 1.0


def test_what_still_holds_stands_back_where_it_is_asked_what_was() -> None:
    over = {"over": flags(True, False)}
    was, still = fuse(question_of("Where did I live before?", multilingual=True), arrays(2, **over), 1e12)
    assert still == pytest.approx(0.7 * was)
    equal = fuse(question_of("Where did I live in May 1970?", multilingual=True), arrays(2, **over), 0.0)
    assert equal[0] == equal[1]


def test_what_was_true_at_the_time_is_near_it_whenever_it_was_said() -> None:
    days = 86400.0
    may = 120 * days  # in 1970
    held = (np.array([0.0, may - 9 * days, 200 * days, 0.0]), np.array([300 * days, np.inf, np.inf, 0.0]))
    score = fuse(question_of("Where did I live in May 1970?", multilingual=True), arrays(4, held=held), 400 * days)
    assert score[0] == pytest.approx(score[1], abs=1e-6)
    assert score[0] > score[2] > score[3]


def test_names_of_a_thing_are_words_of_the_question_but_not_its_own() -> None:
    anna = Thing(UUID(int=1), "", ("Anna", "Annie"), ("anna", "annie"))
    known = Things([anna], [])
    question = question_of("What does Annie like?", multilingual=True, things=known)
    assert question.things == {anna.id}
    plain = question_of("What does Annie like?", multilingual=True)
    assert question.tokens == {**plain.tokens, token_of("anna"): pytest.approx(0.3)}
    lines = [candidate("Anna rides horses.", 0.3), candidate("Otto rides horses.", 0.3)]
    assert rank(question, lines, corpus_of(lines), NOW)[0].candidate is lines[0]


def test_nothing_to_rank() -> None:
    assert ranked("anything", []) == []


@given(
    query=st.text(max_size=60),
    texts=st.lists(st.tuples(st.text(max_size=60), st.sampled_from(["", "a", "b"])), max_size=8),
    similarity=st.one_of(st.none(), st.floats(-1, 1)),
    age_days=st.floats(-10, 10_000),
    multilingual=st.booleans(),
    floor=st.floats(0, 0.9),
)
def test_scores_stay_within_bounds(
    query: str,
    texts: list[tuple[str, str]],
    similarity: float | None,
    age_days: float,
    multilingual: bool,
    floor: float,
) -> None:
    lines = [candidate(text, similarity, age_days=age_days, session=session) for text, session in texts]
    found = ranked(query, lines, multilingual=multilingual, floor=floor)
    assert len(found) == len(lines)
    assert all(0.0 <= one.score <= 1.0 for one in found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)

"""Whether a question asks how things were before, in words or by a time that is over."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.filters import parse
from xiaozhi_server.core.providers.memory.mem0ai.finding.extent import NOW, Extent, extent_of
from xiaozhi_server.core.providers.memory.mem0ai.recall.asked_past import asks_how_it_was
from xiaozhi_server.core.providers.memory.mem0ai.recall.asked_time import asked_time
from xiaozhi_server.core.providers.memory.mem0ai.recall.rank import question_of

TODAY = datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()


def day(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "Where did I live before?",
        "Where did I use to live?",
        "where did i used to live",
        "What did my job used to be?",
        "What was my old phone number?",
        "What was my previous address?",
        "What was my former job?",
        "What is Anna’s old address?",
        "Where did we live formerly?",
        "What did I previously drink?",
        "Where did I live before Berlin?",
        "Which car did I have before the blue one?",
        "Have I ever had a dog?",
        "What don't I eat anymore?",
        "Where did my sister live?",
        "我以前住在哪里？",
        "我从前住在哪里？",
        "我從前住在哪裡",
        "你知道我以前在哪儿上班吗",
        "我之前的电话号码是多少？",
        "安娜之前住在哪里？",
        "我原来在哪里工作？",
        "过去我住在哪里？",
        "我曾经养过什么狗？",
        "我住过哪些城市？",
        "我的旧电话号码是多少",
        "我上一个电话号码是什么",
    ],
)
def test_words_for_what_was(text: str) -> None:
    assert asks_how_it_was(text)


@pytest.mark.parametrize(
    "text",
    [
        "Where do I live?",
        "What do I have to do before Friday?",
        "What do I drink before breakfast?",
        "How old am I?",
        "How old is my sister?",
        "What am I used to?",
        "What is my phone number?",
        "Do we need any more milk?",
        "What time do I get up?",
        "Where does my sister live now?",
        "What do you know about me?",
        "我住在哪里？",
        "我最喜欢的颜色是什么？",
        "周五之前我要做什么？",
        "吃饭之前要做什么？",
        "我下班以前要做什么",
        "怎么走过去？",
        "我去旧金山做什么",
    ],
)
def test_the_same_words_for_something_else(text: str) -> None:
    assert not asks_how_it_was(text)


@given(st.text(max_size=300))
def test_no_text_is_too_strange(text: str) -> None:
    assert asks_how_it_was(text) in (True, False)
    assert all(begin <= end <= TODAY for begin, end in asked_time(text).over(TODAY))


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Where did I live in May?", [(day(2026, 5, 1), day(2026, 5, 31))]),
        ("What was it in December?", [(day(2025, 12, 1), day(2025, 12, 31))]),
        ("What was it on 29 February?", [(day(2024, 2, 29), day(2024, 3, 1))]),
        ("Where did I live in 2024?", [(day(2024, 1, 1), day(2024, 12, 31))]),
        ("五月我住在哪里？", [(day(2026, 5, 1), day(2026, 5, 31))]),
        ("Where am I in December 2027?", []),
        ("What do I do today?", []),
        ("What do I do this week?", []),
        ("Where do I live?", []),
    ],
)
def test_a_named_time_that_is_over(text: str, spans: list[tuple[float, float]]) -> None:
    assert asked_time(text).over(TODAY) == spans


def test_last_year_is_over() -> None:
    ((begin, end),) = asked_time("Where did I work last year?").over(TODAY)
    assert begin < day(2025, 6, 1) < end < TODAY


def extent(text: str, filters: dict[str, object] | None = None) -> Extent:
    question = question_of(text, multilingual=True, now_s=TODAY)
    return extent_of(question, None if filters is None else parse(filters), TODAY)


def test_which_memories_take_part() -> None:
    assert extent("Where do I live?") == NOW
    assert extent("Where did I live before?") == Extent(replaced=True)
    assert extent("Where was I in May?") == Extent(replaced=True, times=((day(2026, 5, 1), day(2026, 5, 31)),))
    assert extent("Where did I live in May?") == extent("Where was I in May?")
    assert extent("Where did I live before May?") == extent("Where did I live?") == Extent(replaced=True)


def test_a_filter_may_ask_for_the_rest() -> None:
    assert extent("Where do I live?", {"kind": "fact", "metadata": {"valid_to": "*"}}) == NOW
    assert extent("Where do I live?", {"superseded_by": "*"}) == Extent(replaced=True)
    assert extent("Where do I live?", {"NOT": [{"OR": [{"valid_to": {"lt": "2026-01-01"}}]}]}) == Extent(replaced=True)
    assert extent("Where do I live?", {"compressed_into": "*"}) == Extent(compressed=True)
    assert extent("Where do I live?", {"flag": "unfounded"}) == Extent(suspect=True)
    assert extent("Where was I in May?", {"compressed_into": "*"}).compressed

"""How much of what was found is told."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from xiaozhi_server.core.providers.memory.base import Memory
from xiaozhi_server.core.providers.memory.mem0ai.budget import LONGEST_REMARK, best_first, tokens_in, within_budget
from xiaozhi_server.core.providers.memory.mem0ai.records import FoundMemory, StoredMemory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def found(*scores: float, text: str = "I like teal.") -> list[Memory]:
    return [Memory(str(score), text, NOON, score) for score in scores]


def hit(score: float, rated: float | None = None) -> FoundMemory:
    memory = StoredMemory(UUID(int=int(score * 100)), "ann", "", "", "", "user", None, "I like teal.", None, NOON, NOON)
    return FoundMemory(memory, score, None, rated)


def kept(memories: list[Memory]) -> list[float]:
    return [memory.score for memory in memories]


def test_the_best_are_kept_up_to_the_limit() -> None:
    assert kept(within_budget(found(0.9, 0.5, 0.1), 2, 1000)) == [0.9, 0.5]
    assert within_budget(found(0.1), 0, 1000) == []
    assert within_budget(found(0.1), -1, 1000) == []


def test_the_worst_are_left_out_first() -> None:
    one = 14 + tokens_in("I like teal.")
    assert kept(within_budget(found(0.9, 0.5, 0.1), 10, 2 * one)) == [0.9, 0.5]
    assert kept(within_budget(found(0.9, 0.5, 0.1), 10, 3 * one - 1)) == [0.9, 0.5]
    assert kept(within_budget(found(0.9, 0.5, 0.1), 10, 3 * one)) == [0.9, 0.5, 0.1]


def test_a_worse_one_does_not_slip_into_a_gap() -> None:
    memories = [*found(0.9), *found(0.5, text="long " * 80), *found(0.1)]
    assert kept(within_budget(memories, 10, 50)) == [0.9]


def test_several_answers_are_one_by_our_score_where_nothing_is_rated() -> None:
    assert best_first([[hit(0.2), hit(0.4)], [], [hit(0.3)]]) == [hit(0.4), hit(0.3), hit(0.2)]


def test_a_reranker_s_order_stays_and_only_its_own_ratings_are_compared() -> None:
    mine = [hit(0.1, 5.0), hit(0.9, 4.0), hit(0.3)]  # the last one it has left out
    other = [hit(0.2, 4.5), hit(0.8, 1.0)]
    assert best_first([mine, other]) == [mine[0], other[0], mine[1], other[1], mine[2]]
    # A single memory is not rated: it is neither always the first nor always the last.
    assert best_first([mine, [hit(0.5)]]) == [hit(0.5), *mine]
    assert best_first([mine, [hit(0.05)]]) == [*mine, hit(0.05)]


def test_a_long_text_is_cut() -> None:
    (memory,) = within_budget(found(0.9, text="x" * 8000), 10, 600)
    assert len(memory.text) == LONGEST_REMARK
    assert memory.text.endswith("x…")


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("", 0, 0), ("My dog is called Biscuit.", 5, 9), ("我的狗叫豆豆。", 6, 9), ("שלום עולם", 3, 9)],
)
def test_tokens_are_estimated(text: str, least: int, most: int) -> None:
    assert least <= tokens_in(text) <= most

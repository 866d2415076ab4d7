"""How much of what was found is told: the best first, no text longer than a remark, no more than a model may read."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from ..base import Memory
from .records import FoundMemory

LONGEST_REMARK = 500
_TIME_TOKENS = 14  # the line's own: its time and brackets


def best_first(answers: Sequence[Sequence[FoundMemory]]) -> list[FoundMemory]:
    """What several questions brought, as one list. What a reranker has ordered stays in its order.

    The next one is that which it rates best; by our own score where it has not rated all that could be next.
    """
    left = [deque(_ordered(answer)) for answer in answers if answer]
    best: list[FoundMemory] = []
    while left:
        is_rated = all(answer[0].rerank_score is not None for answer in left)
        best.append(max(left, key=lambda answer: _fit(answer[0], is_rated=is_rated)).popleft())
        left = [answer for answer in left if answer]
    return best


def within_budget(memories: Sequence[Memory], limit: int, tokens: int) -> list[Memory]:
    """Those that fit of what is the best first; a worse one never takes the place of a better one."""
    kept: list[Memory] = []
    for memory in map(_shortened, memories[: max(0, limit)]):
        tokens -= _TIME_TOKENS + tokens_in(memory.text)
        if tokens < 0:
            break
        kept.append(memory)
    return kept


def tokens_in(text: str) -> int:
    """About as many as the usual tokenizers make of it: four Latin letters to one, one for a Chinese character."""
    latin = sum(character < "\u0250" for character in text)
    wide = sum(character >= "\u2e80" for character in text)
    return ceil(latin / 4 + wide + (len(text) - latin - wide) / 2)


def _ordered(answer: Sequence[FoundMemory]) -> Sequence[FoundMemory]:
    if any(one.rerank_score is not None for one in answer):
        return answer
    return sorted(answer, key=lambda one: one.score, reverse=True)


def _fit(found: FoundMemory, *, is_rated: bool) -> float:
    return found.rerank_score if is_rated and found.rerank_score is not None else found.score


def _shortened(memory: Memory) -> Memory:
    if len(memory.text) <= LONGEST_REMARK:
        return memory
    return replace(memory, text=memory.text[: LONGEST_REMARK - 1] + "…")

"""How much of what was found is told: the best first, no text longer than a remark, no more than a model may read."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from ..base import Memory

LONGEST_REMARK = 500
_TIME_TOKENS = 14  # the line's own: its time and brackets


def within_budget(memories: Sequence[Memory], limit: int, tokens: int) -> list[Memory]:
    """The best ones that fit, in their order by score; a worse one never takes the place of a better one."""
    best_first = sorted(memories, key=lambda memory: memory.score, reverse=True)[: max(0, limit)]
    kept: list[Memory] = []
    for memory in map(_shortened, best_first):
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


def _shortened(memory: Memory) -> Memory:
    if len(memory.text) <= LONGEST_REMARK:
        return memory
    return replace(memory, text=memory.text[: LONGEST_REMARK - 1] + "…")

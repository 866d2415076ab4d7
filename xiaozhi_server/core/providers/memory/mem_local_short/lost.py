"""Which old facts an answer left out without saying so: models forget lines, and what is forgotten comes back."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..mem0ai.recall.words import words_of

Fact = tuple[str, str]  # the day on which it was said, and what

_WORD = re.compile(r"\w+")
_MOST = 0.75


@dataclass(frozen=True, slots=True)
class _Line:
    day: str
    wording: tuple[str, ...]  # whatever the dots and capitals
    content: frozenset[str]


def lost(before: Iterable[Fact], answer: Iterable[Fact], dropped: Iterable[Fact]) -> list[Fact]:
    """The facts that are neither in the answer, in these or in other words, nor dropped on purpose.

    In other words: a line of the same day that shares most words with it, or a later one that has them all. A line that
    was there before stands for itself alone, however much it is like the one that is gone.
    """
    known = [(fact, _line(fact)) for fact in before]
    old = {line.wording for _, line in known}
    told = [_line(fact) for fact in answer]
    again = {line.wording for line in told}
    new = [line for line in told if line.wording not in old]
    gone = [_line(fact) for fact in dropped]
    return [
        fact
        for fact, line in known
        if line.wording not in again and not _reworded(line, new) and not _is_dropped(line, gone)
    ]


def _reworded(fact: _Line, new: Sequence[_Line]) -> bool:
    return any(_stands_for(line, fact) for line in new)


def _stands_for(line: _Line, fact: _Line) -> bool:
    shared = len(line.content & fact.content)
    if line.day == fact.day:
        return shared > _MOST * len(fact.content)
    return line.day > fact.day and 0 < shared == len(fact.content)


def _is_dropped(fact: _Line, gone: Sequence[_Line]) -> bool:
    """Word for word, and where the day is told on that day."""
    return any(line.wording == fact.wording and line.day in ("", fact.day) for line in gone)


def _line(fact: Fact) -> _Line:
    day, text = fact
    return _Line(day, tuple(_WORD.findall(text.casefold())) or (text,), frozenset(words_of(text)))

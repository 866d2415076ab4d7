"""Answers that came after their deadline, kept for a moment: the next question of the same conversation gets them."""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .records import FoundMemory
from .scope import Scope

_ANSWERS_MAX = 8


@dataclass(frozen=True, slots=True)
class _Answer:
    scope: Scope
    asked_at: float
    found: Sequence[FoundMemory]


class LateAnswers:
    """Of one connection. Whose they are is remembered with them: a script may change the owner at any time."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._answers: deque[_Answer] = deque(maxlen=_ANSWERS_MAX)
        self._forgotten_at = float("-inf")

    def keep(self, scope: Scope, asked_at: float, found: Sequence[FoundMemory]) -> None:
        if asked_at > self._forgotten_at:
            self._answers.append(_Answer(scope, asked_at, found))

    def forget(self, user_id: str) -> None:
        """Nothing of this owner may stay, nor come from a search that runs already: then whoever it is about."""
        self._forgotten_at = asyncio.get_running_loop().time()
        kept = [answer for answer in self._answers if answer.scope.user_id != user_id]
        self._answers = deque(kept, maxlen=_ANSWERS_MAX)

    def take(self, scopes: Collection[Scope]) -> dict[Scope, list[FoundMemory]]:
        """Of each of these, each once. What is too old, or somebody else's, is gone."""
        oldest = asyncio.get_running_loop().time() - self._keep_s
        answers, self._answers = self._answers, deque(maxlen=_ANSWERS_MAX)
        taken: dict[Scope, list[FoundMemory]] = {scope: [] for scope in scopes}
        for answer in answers:
            if answer.asked_at >= oldest and answer.scope in taken:
                taken[answer.scope] += answer.found
        return taken

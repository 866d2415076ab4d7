"""What the companion takes from a sentence, in whatever language, and how well a fact fits a question."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Protocol

# The weight of words that many facts share: alone they do not tell which one is meant.
WEAK_WEIGHT = 0.4
# What Mia likes is at best near to what I like.
SOMEBODY_ELSE = 0.5


@dataclass(frozen=True, slots=True)
class Reading:
    """The parts of a sentence that matter with their weights, and whose thing it speaks of."""

    parts: Mapping[str, float]
    telling: frozenset[str]
    held: Container[str]
    possessions: frozenset[str]
    says_i: bool
    is_personal: bool

    def fit(self, fact: "Reading") -> float:
        """From 0 to 1: how much of this question the fact speaks of."""
        total = sum(self.parts.values())
        if not total or self._is_about_another(fact):
            return 0.0
        share = sum(weight for part, weight in self.parts.items() if part in fact.held) / total
        return share * SOMEBODY_ELSE if self.says_i and not fact.is_personal else share

    def is_near(self, fact: "Reading") -> bool:
        """Whether they share a word that tells, or speak of the same thing of the same person."""
        return any(part in fact.held for part in self.telling) or bool(self.possessions & fact.possessions)

    def _is_about_another(self, fact: "Reading") -> bool:
        """The name of my dog answers no question for my name."""
        if not fact.possessions or any(thing in self.held for thing in fact.possessions):
            return False
        return bool(self.possessions) or (self.says_i and not fact.says_i)


class Language(Protocol):
    """A language is a module with these."""

    FIRST_PERSON: re.Pattern[str]
    SECOND_PERSON: re.Pattern[str]
    REQUEST: re.Pattern[str]  # to do something, at the beginning of a sentence
    FORGET: re.Pattern[str]
    FILLER: re.Pattern[str]  # a whole sentence that tells nothing, such as "ok"

    def is_question(self, text: str) -> bool: ...

    def asks_about_the_companion(self, question: str) -> bool: ...

    def without_lead_in(self, text: str) -> str:
        """A statement without the words before it that add nothing."""
        ...

    def turned(self, text: str) -> str:
        """The same seen from the other side: "My dog" becomes "your dog"."""
        ...

    def sentence(self, text: str) -> str:
        """With its full stop and whatever else makes a sentence of it."""
        ...

    def read(self, text: str) -> Reading: ...

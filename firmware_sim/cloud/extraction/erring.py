"""A model that errs now and then, in every way that there is, and always in the same way with the same seed."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware_sim.cloud.extraction.wordings import WORDINGS, Wording


@dataclass(slots=True)
class Erring:
    """`share` of the answers to a memory err. A request that comes again is drawn for again."""

    share: float
    seed: int = 0
    ways: Sequence[Wording] = WORDINGS[1:]
    seen: Counter[Wording] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter)

    def wording(self, asked: str) -> Wording:
        """Depends on the request and not on when it comes, so that parallel ones may come in any order."""
        self._asked[asked] += 1
        dice = random.Random(f"{self.seed} {self._asked[asked]} {asked}")
        drawn: Wording = dice.choice(self.ways) if dice.random() < self.share else "as_asked"
        self.seen[drawn] += 1
        return drawn

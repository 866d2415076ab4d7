"""A model that errs now and then, in every way that there is, and always at the same requests with the same seed."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware_sim.cloud.extraction.wordings import WORDINGS, Wording

_DIGITS = re.compile(r"\d+")


@dataclass(slots=True)
class Erring:
    """`share` of the answers to a memory err, in one way after the other. A request that comes again is drawn again."""

    share: float
    seed: int = 0
    ways: Sequence[Wording] = WORDINGS[1:]
    seen: Counter[Wording] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter)
    _errors: int = 0

    def wording(self, asked: str) -> Wording:
        """Whether it errs depends on the request, whatever day it is and in whatever order parallel ones come."""
        undated = _DIGITS.sub("", asked)
        self._asked[undated] += 1
        dice = random.Random(f"{self.seed} {self._asked[undated]} {undated}")
        drawn: Wording = "as_asked"
        if dice.random() < self.share:
            drawn = self.ways[self._errors % len(self.ways)]
            self._errors += 1
        self.seen[drawn] += 1
        return drawn

"""Households that tell things in talks, in English and Chinese, with what a memory should know afterwards.

What is told changes, is told again in other words, only looks alike, or names who is who. Half of the households were
there to look at while extraction was made; the other half has a seed of its own, and was only measured.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, cycle
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "zh"]
Half = Literal["tuned", "unseen"]

LANGUAGES: tuple[Language, ...] = ("en", "zh")
HALVES: tuple[Half, ...] = ("tuned", "unseen")

_FILES = {language: Path(__file__).with_name(f"extraction_{language}.json") for language in LANGUAGES}
_DAYS_AGO = (150, 143, 136, 40, 33, 26)  # of each talk: first things are told, then what becomes of them
_EARLY, _LATE = range(3), range(3, 6)
_CHANGES, _REPEATS, _ALIKE, _OF_ME, _OF_OTHERS, _STRANGERS = 6, 5, 6, 3, 1, 4  # of a household
_MONTHS = {"en": "{0:%B %Y}", "zh": "{0.year}年{0.month}月"}


@dataclass(frozen=True, slots=True)
class Statement:
    """Something that is told; a memory that has `key` in it and comes from the same talk says it."""

    talk: int
    text: str
    key: str

    def is_in(self, text: str) -> bool:
        """A word or number as a whole; Chinese words are not parted."""
        before, after = (r"(?<![a-z0-9])", r"(?![a-z0-9])") if self.key.isascii() else ("", "")
        return re.search(f"{before}{re.escape(self.key)}{after}", text, re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True)
class Change:
    """`after` makes `before` untrue. Questions: as it is, as it was before, and as it was in that month."""

    before: Statement
    after: Statement
    now: str
    then: str
    dated: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two statements that say the same, or only look like it."""

    first: Statement
    second: Statement


@dataclass(frozen=True, slots=True)
class Kinship:
    """`name` is to `of` (empty: the speaker) one of `words`."""

    statement: Statement
    name: str
    words: frozenset[str]
    of: str = ""


@dataclass(frozen=True, slots=True)
class Talk:
    name: str
    begins_at: datetime
    exchanges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Household:
    id: str
    language: Language
    half: Half
    changes: tuple[Change, ...]
    repeats: tuple[Pair, ...]
    alike: tuple[Pair, ...]
    kin: tuple[Kinship, ...]
    strangers: tuple[Statement, ...]
    talks: tuple[Talk, ...]

    @property
    def statements(self) -> Iterator[Statement]:
        """All that should be remembered, each once."""
        yield from chain.from_iterable((change.before, change.after) for change in self.changes)
        yield from (pair.first for pair in self.repeats)
        yield from chain.from_iterable((pair.first, pair.second) for pair in self.alike)
        yield from (one.statement for one in self.kin)


def households(
    seed: int, now: datetime, *, count: int = 4, languages: Sequence[Language] = LANGUAGES
) -> list[Household]:
    """`count` for each language and half; the unseen half depends on the seed alone."""
    return [
        _Maker(language, half, f"{seed} {language} {half}", now).household(number)
        for language in languages
        for half in HALVES
        for number in range(count)
    ]


class _Maker:
    def __init__(self, language: Language, half: Half, seed: str, now: datetime) -> None:
        self._language, self._half, self._seed, self._now = language, half, seed, now
        self._sets: Mapping[str, Any] = json.loads(_FILES[language].read_text("utf-8"))
        self._dice = random.Random(seed)

    def household(self, number: int) -> Household:
        self._dice = random.Random(f"{self._seed} {number}")
        changes = [self._change(one) for one in self._some("changes", _CHANGES)]
        repeats = [self._repeat(one) for one in self._some("repeats", _REPEATS)]
        alike = [self._alike(one) for one in self._some("alike", _ALIKE)]
        kin, strangers = self._people()
        told = [
            *chain.from_iterable((one.before, one.after) for one in changes),
            *chain.from_iterable((one.first, one.second) for one in (*repeats, *alike)),
            *(one.statement for one in kin),
            *strangers,
        ]
        return Household(
            f"{self._language} {self._half} {number}",
            self._language,
            self._half,
            tuple(changes),
            tuple(repeats),
            tuple(alike),
            tuple(kin),
            tuple(strangers),
            tuple(self._talks(told)),
        )

    def _some(self, part: str, count: int) -> list[Any]:
        kinds = self._sets[part]
        return [kinds[name] for name in self._dice.sample(sorted(kinds), count)]

    def _change(self, kind: Mapping[str, Any]) -> Change:
        old, other = self._dice.sample(kind["values"], 2)
        new = old if kind.get("same") else other
        early, late = self._dice.choice(_EARLY), self._dice.choice(_LATE)
        month = _MONTHS[self._language].format(self._day_of(early))
        before, after = (self._dice.choice(kind[part]) for part in ("before", "after"))
        now, then, dated = (kind[part].format(o=old, when=month) for part in ("now", "then", "dated"))
        return Change(_statement(early, before, old), _statement(late, after, new, o=old), now, then, dated)

    def _repeat(self, kind: Mapping[str, Any]) -> Pair:
        value = self._dice.choice(kind["values"])
        first, second = self._dice.sample(kind["said"], 2)
        return self._pair(_statement(0, first, value), _statement(0, second, value))

    def _alike(self, kind: Mapping[str, Any]) -> Pair:
        values, wordings = self._dice.sample(kind["values"], 2), kind["said"]
        first, second = (_statement(0, self._dice.choice(wordings), value) for value in values)
        return self._pair(first, second)

    def _pair(self, first: Statement, second: Statement) -> Pair:
        early, late = self._dice.choice(_EARLY), self._dice.choice(_LATE)
        return Pair(Statement(early, first.text, first.key), Statement(late, second.text, second.key))

    def _people(self) -> tuple[list[Kinship], list[Statement]]:
        sets = self._sets["relations"]
        roles = self._dice.sample(sorted(sets["roles"]), _OF_ME + _OF_OTHERS)
        names = iter(self._dice.sample(sets["names"], len(roles) + _OF_OTHERS + _STRANGERS))
        kin = []
        for number, role in enumerate(roles):
            name, of = next(names), next(names) if number >= _OF_ME else ""
            wording = self._dice.choice(sets["of others" if of else "of me"])
            statement = _statement(self._dice.randrange(len(_DAYS_AGO)), wording, name, r=role, n=name, m=of)
            kin.append(Kinship(statement, name, frozenset((role, *sets["roles"][role])), of))
        wordings = self._dice.sample(sets["none"], _STRANGERS)
        talks = (self._dice.randrange(len(_DAYS_AGO)) for _ in wordings)
        return kin, [
            _statement(talk, one, name, n=name) for talk, one, name in zip(talks, wordings, names, strict=True)
        ]

    def _talks(self, told: Sequence[Statement]) -> Iterator[Talk]:
        """Each with a word that tells nothing somewhere in it."""
        replies = cycle(self._dice.sample(self._sets["replies"], len(self._sets["replies"])))
        for number in range(len(_DAYS_AGO)):
            exchanges = [(one.text, next(replies)) for one in told if one.talk == number]
            self._dice.shuffle(exchanges)
            exchanges.insert(self._dice.randrange(len(exchanges) + 1), tuple(self._dice.choice(self._sets["talk"])))
            yield Talk(f"talk {number}", self._day_of(number), tuple(exchanges))

    def _day_of(self, talk: int) -> datetime:
        return self._now - timedelta(days=_DAYS_AGO[talk])


def _statement(talk: int, wording: str, value: str, **more: str) -> Statement:
    return Statement(talk, wording.format(v=value, V=value[:1].upper() + value[1:], **more), value)

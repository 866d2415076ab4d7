"""Judges what a memory made of the talks of a household: from its tables, and by asking it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

from bench.extraction_sets import Change, Household, Kinship, Statement

_OF_OWNER = "self"
# Memories of the household, and relations with whom they are about.
_ROWS = "SELECT id, session_id, text, flag, superseded_by IS NOT NULL FROM memory_entry WHERE user_id = %s"
_RELATIONS = """
    SELECT subject.name, relation.relation, CASE WHEN object.key = 'self' THEN '' ELSE object.name END
    FROM memory_relation relation
    JOIN memory_thing subject ON subject.user_id = relation.user_id AND subject.id = relation.subject
    JOIN memory_thing object ON object.user_id = relation.user_id AND object.id = relation.object
    WHERE relation.user_id = %s AND relation.valid_to IS NULL
"""


class Row(NamedTuple):
    id: UUID
    session: str
    text: str
    flag: str
    is_over: bool

    def says(self, statement: Statement) -> bool:
        return self.session == f"talk {statement.talk}" and statement.is_in(self.text)


@dataclass(slots=True)
class Rate:
    """How many of those that should be were found, and how many of those found should not have been."""

    wanted: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def recall(self) -> float:
        return self.right / self.wanted if self.wanted else 1.0

    @property
    def precision(self) -> float:
        found = self.right + self.wrong
        return self.right / found if found else 1.0

    def add(self, other: "Rate") -> None:
        self.wanted += other.wanted
        self.right += other.right
        self.wrong += other.wrong


@dataclass(slots=True)
class Judged:
    """`missed` are sentences for whoever wants to know what went wrong."""

    superseded: Rate = field(default_factory=Rate)
    merged: Rate = field(default_factory=Rate)
    related: Rate = field(default_factory=Rate)
    told: int = 0
    lost: int = 0
    suspect: int = 0  # memories with a flag
    asked: int = 0
    current_found: int = 0
    over_as_current: int = 0
    missed_as_current: int = 0  # old facts whose end was not understood
    past_found: int = 0
    dated_found: int = 0
    missed: list[str] = field(default_factory=list)

    def add(self, other: "Judged") -> None:
        for rate in ("superseded", "merged", "related"):
            getattr(self, rate).add(getattr(other, rate))
        for count in ("told", "lost", "suspect", "asked", "current_found", "over_as_current", "past_found"):
            setattr(self, count, getattr(self, count) + getattr(other, count))
        self.missed_as_current += other.missed_as_current
        self.dated_found += other.dated_found
        self.missed += other.missed

    def miss(self, what: str, *texts: str) -> None:
        self.missed.append(f"{what}: {' | '.join(texts)}")


async def judge(household: Household, connection: AsyncConnection[Any], ask: "Ask") -> Judged:
    rows = [Row(*row) for row in await _all(connection, _ROWS, household.id)]
    relations = {(str(row[0]), str(row[1]), str(row[2])) for row in await _all(connection, _RELATIONS, household.id)}
    judged = Judged(suspect=sum(bool(row.flag) for row in rows))
    _judge_superseding(household, rows, judged)
    _judge_merging(household, rows, judged)
    _judge_relations(household, relations, judged)
    _judge_losses(household, rows, judged)
    await _judge_recall(household, rows, ask, judged)
    return judged


# Asks the memory of a household, for ids of memories.
Ask = Callable[[str], Any]


async def _all(connection: AsyncConnection[Any], statement: str, owner: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement, (owner,))).fetchall()


def _judge_superseding(household: Household, rows: Sequence[Row], judged: Judged) -> None:
    rate = judged.superseded
    for change in household.changes:
        rate.wanted += 1
        if _is_superseded(change, rows):
            rate.right += 1
        else:
            judged.miss("not superseded", change.before.text, change.after.text, *_texts(change.before, rows))
    for row in rows:
        if row.is_over and not any(row.says(change.before) for change in household.changes):
            rate.wrong += 1
            judged.miss("superseded without reason", row.text)


def _is_superseded(change: Change, rows: Sequence[Row]) -> bool:
    old = [row for row in rows if row.says(change.before)]
    return bool(old) and all(row.is_over for row in old)


def _judge_merging(household: Household, rows: Sequence[Row], judged: Judged) -> None:
    rate = judged.merged
    for pair in household.repeats:
        saying = [row for row in rows if not row.is_over and (row.says(pair.first) or row.says(pair.second))]
        rate.wanted += 1
        if len(saying) == 1:
            rate.right += 1
        else:
            judged.miss("not merged", pair.first.text, pair.second.text, *(row.text for row in saying))
    for pair in household.alike:
        if any(not _texts(one, rows) for one in (pair.first, pair.second)):
            rate.wrong += 1
            judged.miss("merged without reason, or lost", pair.first.text, pair.second.text)


def _judge_relations(household: Household, relations: Iterable[tuple[str, str, str]], judged: Judged) -> None:
    rate = judged.related
    rate.wanted += len(household.kin)
    found = set(relations)
    for one in household.kin:
        fitting = {relation for relation in found if _fits(one, relation)}
        rate.right += bool(fitting)
        found -= fitting
        if not fitting:
            judged.miss("no relation", one.statement.text)
    pets = {pair.first.key for pair in household.repeats}
    for subject, relation, other in found:
        if subject not in pets:
            rate.wrong += 1
            judged.miss("related without reason", subject, relation, other)


def _fits(kinship: Kinship, relation: tuple[str, str, str]) -> bool:
    subject, word, other = relation
    return (subject, other) == (kinship.name, kinship.of) and word in kinship.words


def _judge_losses(household: Household, rows: Sequence[Row], judged: Judged) -> None:
    for statement in household.statements:
        judged.told += 1
        if not _texts(statement, rows):
            judged.lost += 1
            judged.miss("lost", statement.text)


def _texts(statement: Statement, rows: Sequence[Row]) -> list[str]:
    return [row.text for row in rows if row.says(statement)]


async def _judge_recall(household: Household, rows: Sequence[Row], ask: Ask, judged: Judged) -> None:
    """Of the changes that were understood: the past must not be taken for the present, nor be gone."""
    over = {row.id for row in rows if row.is_over}
    for change in household.changes:
        found = await ask(change.now)
        judged.over_as_current += len(over.intersection(found))
        if not _is_superseded(change, rows):
            judged.missed_as_current += any(row.id in found for row in rows if row.says(change.before))
            continue
        judged.asked += 1
        old, new = ({row.id for row in rows if row.says(one)} for one in (change.before, change.after))
        judged.current_found += bool(new.intersection(found))
        if not new.intersection(found):
            judged.miss("not recalled", change.now, change.after.text)
        for question, name in ((change.then, "past_found"), (change.dated, "dated_found")):
            if old.intersection(await ask(question)):
                setattr(judged, name, getattr(judged, name) + 1)
            else:
                judged.miss("not recalled", question, change.before.text)

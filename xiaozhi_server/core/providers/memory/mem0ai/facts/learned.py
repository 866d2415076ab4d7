"""What a batch changes in a memory: what is new, what was said again, what ends, and whom all that is about."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from ..observe import FactKind
from ..records import NewMemory, StoredMemory
from .answer import NamedThing


@dataclass(frozen=True, slots=True)
class SaidAgain:
    """A known memory that was told once more. `is_longer`: the new text only adds words, and takes its place.

    Where the known one is gone meanwhile, the new one is stored.
    """

    old: StoredMemory
    new: NewMemory
    is_longer: bool


@dataclass(frozen=True, slots=True)
class Replaced:
    """A known memory that holds no more since `ended_at`, because of a new one."""

    old: StoredMemory
    by: StoredMemory
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class ToldRelation:
    """Of things by their names, and where it was told."""

    subject: str
    relation: str
    other: str
    memory_id: UUID


@dataclass(frozen=True, slots=True)
class Learned:
    """`links` are memories and the names of what they are about.

    `is_whole` is False where more was told than this holds: what was said is then kept word for word as well, but for
    the messages at the places `heard`, of which there is a fact for each sentence.
    """

    rows: tuple[NewMemory, ...] = ()
    again: tuple[SaidAgain, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    things: tuple[NamedThing, ...] = ()
    links: tuple[tuple[UUID, str], ...] = ()
    relations: tuple[ToldRelation, ...] = ()
    is_whole: bool = True
    heard: frozenset[int] = frozenset()

    def counts(self) -> dict[FactKind, int]:
        flagged = sum(bool(row.memory.flag) for row in self.rows)
        new = len(self.rows) - flagged
        return {"new": new, "flagged": flagged, "merged": len(self.again), "superseding": len(self.replaced)}


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """What became of one memory when a talk was added. NONE: it was known already, in these or in other words."""

    memory: StoredMemory
    event: Literal["ADD", "UPDATE", "SUPERSEDE", "NONE"]


def changes_of(learned: Learned) -> list[MemoryChange]:
    added = [MemoryChange(row.memory, "ADD") for row in learned.rows]
    again = [
        MemoryChange(one.new.memory if one.is_longer else one.old, "UPDATE" if one.is_longer else "NONE")
        for one in learned.again
    ]
    return added + again + [MemoryChange(one.old, "SUPERSEDE") for one in learned.replaced]

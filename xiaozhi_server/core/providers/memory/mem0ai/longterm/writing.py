"""Memories and how far was read, written so that a conversation is remembered once, whoever dies in between.

On PostgreSQL both are one transaction. Elsewhere the notes say first what is about to be written: whoever comes next
deletes what they still say.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..accepting.accepted import Within
from ..facts.learned import MemoryChange
from ..facts.once import Talk
from ..wishes import Wishes
from .classify import Subtype
from .records import Json, KeptCheckpoint, Lock
from .records_pg import PostgresRecords
from .records_store import StoreRecords


@dataclass(frozen=True, slots=True)
class Lesson:
    """Talks of which memories of one kind are to be made. The same talks have the same key."""

    talks: Sequence[Talk]
    subtype: Subtype
    key: str
    wishes: Wishes

    @property
    def metadata(self) -> Mapping[str, Any]:
        return {"memory_subtype": self.subtype, "memory_origin": "implicit"}


class Writer(Protocol):
    """Of one user, in the hands of whoever holds the lock."""

    async def begin(self, kept: KeptCheckpoint | None) -> None:
        """Undo what somebody else has left half done."""
        ...

    async def write(self, lesson: Lesson, value: Json) -> list[MemoryChange]:
        """The memories, and the checkpoint at `value`: both or none of it."""
        ...

    async def move(self, value: Json) -> None: ...


class TransactionalEngine(Protocol):
    """`MemoryEngine`, as far as it is needed here."""

    async def learn(
        self,
        talks: Sequence[Talk],
        *,
        user_id: str,
        agent_id: str,
        key: str,
        subtype: str = "",
        metadata: Mapping[str, Any] | None = None,
        instruction: Wishes | str | None = None,
        within: Within | None = None,
    ) -> list[MemoryChange]: ...


class UndoingEngine(Protocol):
    """`OtherStoreEngine`, as far as it is needed here."""

    async def learn(
        self,
        talks: Sequence[Talk],
        *,
        user_id: str,
        agent_id: str,
        key: str,
        subtype: str = "",
        metadata: Mapping[str, Any] | None = None,
        instruction: Wishes | str | None = None,
    ) -> list[MemoryChange]: ...

    async def undo(self, key: str, *, user_id: str) -> int: ...


class AtOnce:
    """One transaction."""

    def __init__(self, engine: TransactionalEngine, records: PostgresRecords, lock: Lock) -> None:
        self._engine = engine
        self._records = records
        self._lock = lock

    async def begin(self, kept: KeptCheckpoint | None) -> None:
        """There is nothing half done."""

    async def write(self, lesson: Lesson, value: Json) -> list[MemoryChange]:
        return await self._engine.learn(
            lesson.talks,
            user_id=self._lock.user_id,
            agent_id=self._lock.app_id,
            key=lesson.key,
            subtype=lesson.subtype,
            metadata=lesson.metadata,
            instruction=lesson.wishes,
            within=self._records.moving(self._lock, value),
        )

    async def move(self, value: Json) -> None:
        await self._records.move(self._lock, value)


class StepByStep:
    """First what is about to be written, then that, then that it is done."""

    def __init__(self, engine: UndoingEngine, records: StoreRecords, lock: Lock) -> None:
        self._engine = engine
        self._records = records
        self._lock = lock
        self._value: Json = {}
        self._half_done = ""

    async def begin(self, kept: KeptCheckpoint | None) -> None:
        if kept is not None:
            self._value, self._half_done = kept.value, kept.pending
        await self._undo()

    async def write(self, lesson: Lesson, value: Json) -> list[MemoryChange]:
        await self._undo()
        key = f"{lesson.key}:{self._lock.id}"  # what is undone is ours, also where somebody else has the lock by now
        await self._records.intend(self._lock, self._value, key)
        self._half_done = key
        try:
            changes = await self._engine.learn(
                lesson.talks,
                user_id=self._lock.user_id,
                agent_id=self._lock.app_id,
                key=key,
                subtype=lesson.subtype,
                metadata=lesson.metadata,
                instruction=lesson.wishes,
            )
            await self._records.move(self._lock, value)
        except Exception:
            with contextlib.suppress(Exception):  # else whoever comes next does it
                await self._undo()
            raise
        self._value, self._half_done = value, ""
        return changes

    async def move(self, value: Json) -> None:
        await self._undo()
        await self._records.move(self._lock, value)
        self._value = value

    async def _undo(self) -> None:
        if self._half_done:
            await self._engine.undo(self._half_done, user_id=self._lock.user_id)
            await self._records.move(self._lock, self._value)
            self._half_done = ""

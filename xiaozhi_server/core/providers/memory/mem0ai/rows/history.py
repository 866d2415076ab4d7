"""What became of a memory: added, changed, deleted. Kept when the memory is gone, until its owner is forgotten."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..records import StoredMemory
from ..scope import Scope
from ..statements import statement
from . import listing

_NAMESPACE = uuid.UUID("b0a4c1d2-0f0e-4c57-8d1c-3a6f5c1d7e90")


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """One line of a history, with mem0's names. `updated_at` is when it happened; None for the first one."""

    id: uuid.UUID
    memory_id: uuid.UUID
    old_memory: str | None
    new_memory: str | None
    event: Literal["ADD", "UPDATE", "DELETE", "SUPERSEDE", "COMPRESS", "RESTORE"]
    created_at: datetime
    updated_at: datetime | None
    is_deleted: bool
    actor_id: str | None
    role: str


async def events_of(connection: AsyncConnection[Any], scope: Scope, id: uuid.UUID) -> list[MemoryEvent]:
    """The oldest first; empty if this owner never had such a memory."""
    memory = await listing.one(connection, scope, id)  # first: a change that comes in between is then in the list
    return await events_since(connection, scope, id, memory)


async def events_since(
    connection: AsyncConnection[Any], scope: Scope, id: uuid.UUID, memory: StoredMemory | None
) -> list[MemoryEvent]:
    """The same for a memory that was read already, wherever it lies."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("history_list"), {"user_id": scope.user_id, "id": id})
        changes = await cursor.fetchall()
    return events_told(id, changes, memory)


def events_told(id: uuid.UUID, changes: Sequence[Mapping[str, Any]], memory: StoredMemory | None) -> list[MemoryEvent]:
    """The same of changes that were noted elsewhere, the oldest first."""
    if changes:
        return [_added(id, changes[0]), *_changes(id, changes)]
    return [] if memory is None else [_unchanged(memory)]


def _added(id: uuid.UUID, first: Mapping[str, Any]) -> MemoryEvent:
    """What the first change replaced is what was added."""
    return _event(id, 0, "ADD", None, first["old_text"], first, None)


def _changes(id: uuid.UUID, changes: Sequence[Mapping[str, Any]]) -> list[MemoryEvent]:
    return [
        _event(id, number, row["event"], row["old_text"], row["new_text"], row, row["happened_at"])
        for number, row in enumerate(changes, start=1)
    ]


def _unchanged(memory: StoredMemory) -> MemoryEvent:
    told = {"created_at": memory.created_at, "speaker": memory.speaker, "role": memory.role}
    return _event(memory.id, 0, "ADD", None, memory.text, told, None)


def _event(
    id: uuid.UUID,
    number: int,
    event: Literal["ADD", "UPDATE", "DELETE", "SUPERSEDE", "COMPRESS", "RESTORE"],
    old: str | None,
    new: str | None,
    told: Mapping[str, Any],
    happened_at: datetime | None,
) -> MemoryEvent:
    """A history only ever grows, so an event's number is a name for good."""
    return MemoryEvent(
        id=uuid.uuid5(_NAMESPACE, f"{id}/{number}"),
        memory_id=id,
        old_memory=old,
        new_memory=new,
        event=event,
        created_at=told["created_at"],
        updated_at=happened_at,
        is_deleted=event == "DELETE",
        actor_id=told["speaker"],
        role=told["role"],
    )

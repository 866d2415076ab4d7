"""What lies beside another store where there is no PostgreSQL: an SQLite file of our own, on a local disk.

It keeps the history of memories, and which accepted writes were done. Nothing waits there, and nothing is granted.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from ..facts.thing import KnownThing
from ..own_file import OwnThread
from ..records import StoredMemory
from ..rows.history import MemoryEvent, events_told
from ..saving.outbox import OutboxEntry
from ..scope import Scope
from .beside import Change, Notes
from .notes_table import NotedChange, NotesFile


class FileBeside:
    """A Beside. Several programs may use the same file; it is opened when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._file = NotesFile(path)
        self._thread = OwnThread("memory-notes")

    async def close(self) -> None:
        await self._thread.end(self._file.close)

    @asynccontextmanager
    async def noting(self, held: OutboxEntry | None = None) -> AsyncIterator[Notes]:
        notes = FileNotes()
        yield notes
        if notes.changes or notes.keys:
            await self._thread.run(lambda: self._file.put(notes.changes, notes.keys))

    async def is_done(self, user_id: str, key: str) -> bool:
        return await self._thread.run(lambda: self._file.is_done(user_id, key))

    async def events(self, scope: Scope, id: UUID, memory: StoredMemory | None) -> list[MemoryEvent]:
        return events_told(id, await self._thread.run(lambda: self._file.changes_of(scope.user_id, id)), memory)

    async def owner(self, id: UUID) -> str | None:
        return await self._thread.run(lambda: self._file.owner(id))

    async def reach(self, scope: Scope) -> Scope:
        return scope.reading(())

    async def found_by(self, scope: Scope, *, limit: int) -> tuple[Scope, Sequence[OutboxEntry]]:
        return scope.reading(()), ()

    async def waiting(self, scope: Scope, *, limit: int) -> list[OutboxEntry]:
        return []

    async def things(self, user_id: str, agent_id: str) -> list[KnownThing]:
        return []

    async def drop_waiting(self, scope: Scope) -> None:
        """Nothing waits here."""

    async def forget(self, user_id: str) -> None:
        """Leave no line of a person."""
        await self._thread.run(lambda: self._file.forget(user_id))


class FileNotes:
    """Gathered, and written at the end."""

    def __init__(self) -> None:
        self.changes: list[NotedChange] = []
        self.keys: list[tuple[str, str]] = []

    async def changed(self, old: StoredMemory, event: Change, new_text: str | None) -> None:
        change = NotedChange(
            old.user_id, old.id, event, old.text, new_text, old.role, old.speaker, old.created_at, datetime.now(UTC)
        )
        self.changes.append(change)

    async def done(self, user_id: str, key: str) -> None:
        self.keys.append((user_id, key))

"""Changing what is remembered: always one owner's, with its history in the same transaction."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..accepting import table as accepted
from ..accepting.accepted import Within
from ..errors import InvalidTextError, MemoryNotFoundError
from ..message import LONGEST_TEXT, storable
from ..metadata import checked_metadata, merged
from ..records import NewMemory, StoredMemory
from ..saving import outbox
from ..saving.verbatim import VerbatimSaver
from ..scope import Scope
from ..statements import composed, statement
from . import listing, summaries
from .halfvec import HalfVector

Connection = AsyncConnection[Any]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]


class Editor:
    """`changed` is told whose memories are not what they were, once that is committed."""

    def __init__(
        self, connect: Connect, saver: VerbatimSaver, embedder_number: int, changed: Callable[[str], None]
    ) -> None:
        self._connect = connect
        self._saver = saver
        self._number = embedder_number
        self._changed = changed

    async def update(
        self,
        scope: Scope,
        id: UUID,
        text: object,
        metadata: Mapping[str, Any] | None,
        within: Within | None = None,
    ) -> StoredMemory:
        """Give a memory another text, other metadata, or both. A summary that still tells the old text goes."""
        new_text = None if text is None else checked_text(text)
        change = None if metadata is None else checked_metadata(metadata).value
        if new_text is None and change is None:
            raise InvalidTextError("an update needs a text, metadata or both")
        found_by = await self._found_by(scope, id, new_text)
        async with self._connect() as connection, connection.transaction():
            await _first(connection, within)
            old = existing(await listing.locked(connection, scope, id))
            new = replace(
                old,
                text=new_text if new_text is not None else old.text,
                metadata=old.metadata if change is None else merged(old.metadata, change),
            )
            new = await self._write(connection, new, found_by)
            if new_text is not None and old.compressed_into is not None:
                await summaries.dissolve(connection, scope.user_id, [old.compressed_into])
        self._changed(scope.user_id)
        return new

    async def pin(self, scope: Scope, id: UUID, pinned: bool) -> StoredMemory:
        async with self._connect() as connection, connection.transaction():
            old = existing(await listing.locked(connection, scope, id))
            if old.pinned != pinned:
                named = {"user_id": scope.user_id, "id": id, "pinned": pinned}
                await connection.execute(statement("entry_pin"), named)
        self._changed(scope.user_id)
        return replace(old, pinned=pinned)

    async def delete(self, scope: Scope, id: UUID, within: Within | None = None) -> None:
        """What the memory had replaced holds again, and whom nothing is about any more is forgotten.

        With a summary goes what it stands for, and with a source the summary that tells it: the others are back.
        """
        async with self._connect() as connection, connection.transaction():
            await _first(connection, within)
            await summaries.lock(connection, scope.user_id)
            if not await _delete(connection, scope, summaries.AT_ONE, {"id": id}):
                raise MemoryNotFoundError
        self._changed(scope.user_id)

    async def delete_all(self, scope: Scope, within: Within | None = None) -> int:
        """Delete what is in scope, and what waits to become some. Returns how many memories there were.

        With `within`, whoever works off what was accepted knows what of that came before.
        """
        async with self._connect() as connection, connection.transaction():
            await _first(connection, within)
            if within is None:
                await accepted.forget(connection, scope.user_id, agent_id=scope.agent_id, run_id=scope.run_id)
            if scope.run_id is None:
                # First the outbox: the worker holds an entry's row while it writes its memories.
                await outbox.forget(connection, scope)
            await summaries.lock(connection, scope.user_id)
            count = await _delete(connection, scope, "TRUE", {})
        self._changed(scope.user_id)
        return count

    async def restore(self, scope: Scope, id: UUID) -> int:
        """A summary goes, and what it stands for is recalled again. Returns how many that are."""
        async with self._connect() as connection, connection.transaction():
            count = await summaries.restore(connection, scope, id)
        self._changed(scope.user_id)
        return count

    async def _found_by(self, scope: Scope, id: UUID, text: str | None) -> NewMemory | None:
        """The words and the vector of a new text: slow, so nothing is locked meanwhile."""
        async with self._connect() as connection:
            memory = existing(await listing.one(connection, scope, id))
        if text is None:
            return None
        (found_by,) = await self._saver.found_by([replace(memory, text=text)])
        return found_by

    async def _write(self, connection: Connection, new: StoredMemory, found_by: NewMemory | None) -> StoredMemory:
        parameters = {
            "user_id": new.user_id,
            "id": new.id,
            "text": new.text,
            "metadata": None if new.metadata is None else checked_metadata(new.metadata).json,
            "words": None if found_by is None else list(found_by.tokens),
            "embedder": self._number,
            "embedding": None if found_by is None else HalfVector(found_by.vector),
        }
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement("entry_update"), parameters)
            (row,) = await cursor.fetchall()
        return replace(new, updated_at=row["updated_at"])


async def _first(connection: Connection, within: Within | None) -> None:
    if within is not None:
        await within(connection)


async def _delete(connection: Connection, scope: Scope, which: str, parameters: dict[str, Any]) -> int:
    named = {"user_id": scope.user_id, "agent_id": scope.agent_id, "run_id": scope.run_id}
    await connection.execute(composed("entry_reopen", which=which), {**named, **parameters})
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(composed("entry_delete", which=which), {**named, **parameters})
        (row,) = await cursor.fetchall()
    await summaries.dissolve(connection, scope.user_id, row["summaries"])
    await connection.execute(statement("thing_orphans"), {"owners": [scope.user_id]})
    return int(row["deleted"])


def checked_text(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidTextError(f"a memory is text, not {type(text).__name__}")
    kept = storable(text)[:LONGEST_TEXT]
    if not kept:
        raise InvalidTextError("a memory needs some text: delete it if nothing shall be left")
    return kept


def existing(memory: StoredMemory | None) -> StoredMemory:
    if memory is None:
        raise MemoryNotFoundError
    return memory

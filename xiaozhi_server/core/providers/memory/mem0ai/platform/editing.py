"""Looking up and changing what the platform keeps, always one owner's: it gives and takes any id, so we look first.

What still waits for the platform belongs to it: whoever deletes something deletes it there too.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from ..checks import known_uuid, memory_uuid
from ..errors import InvalidMetadataError, InvalidTextError, MemoryNotFoundError
from ..filters import Filter
from ..message import memory_id
from ..metadata import checked_metadata, merged
from ..records import StoredMemory
from ..rows.edit import checked_text, existing
from ..rows.history import MemoryEvent
from ..saving import outbox
from ..saving.outbox import OutboxEntry
from ..scope import Scope
from . import doubts
from .api import PlatformApi
from .errors import PlatformError
from .health import Health
from .results import MARKS, events_of, stored_memories, without_marks
from .sweep import Sweep

Connection = AsyncConnection[Any]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]

_WAITING_MAX = 10_000
_ROUNDS_MAX = 20


class PlatformEditor:
    """A PlatformError where the platform is away: nothing was changed then, or it is safe to ask for it again."""

    def __init__(self, connect: Connect, api: PlatformApi, health: Health, sweep: Sweep) -> None:
        self._connect = connect
        self._api = api
        self._health = health
        self._sweep = sweep

    async def get(self, scope: Scope, id: str | UUID) -> StoredMemory | None:
        known = memory_uuid(id)
        if known is None:
            return None
        found = await self._there(scope, known)
        return None if found is None else without_marks(found)

    async def get_all(
        self, scope: Scope, wanted: Filter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[StoredMemory]:
        """The platform pages as it likes: all of an owner is read, and then chosen from."""
        if not limit:
            return []
        memories = [without_marks(one) for one in await self._all(scope)]
        memories.sort(key=_position, reverse=True)
        fitting = [one for one in memories if wanted.matches(one) and (after is None or _position(one) < after)]
        return fitting[:limit]

    async def update(
        self, scope: Scope, id: str | UUID, text: object, metadata: Mapping[str, Any] | None
    ) -> StoredMemory:
        new_text = None if text is None else checked_text(text)
        change = None if metadata is None else _checked_change(metadata)
        if new_text is None and change is None:
            raise InvalidTextError("an update needs a text, metadata or both")
        known = known_uuid(id)
        old = existing(await self._there(scope, known))
        changes: dict[str, Any] = {} if new_text is None else {"text": new_text}
        if change is not None:
            changes["metadata"] = merged(old.metadata, change)
        async with self._asked():
            await self._api.update(str(known), changes)
        new = await self._there(scope, known)
        return without_marks(new or replace(old, text=new_text or old.text))

    async def delete(self, scope: Scope, id: str | UUID) -> OutboxEntry | None:
        """The entry that waited, where it was no memory yet: all of that exchange is gone then."""
        known = known_uuid(id)
        entry = await self._cancelled(scope, known)
        if entry is not None:
            return entry
        existing(await self._there(scope, known))
        async with self._asked():
            if not await self._api.delete(str(known)):
                raise MemoryNotFoundError
        return None

    async def delete_all(self, scope: Scope) -> int:
        """First what is on its way, then what is there; what arrives later than that is deleted when it appears."""
        async with self._asked():
            found = await self._ids(scope)  # while it is away nothing is begun
            async with self._connect() as connection, connection.transaction():
                await outbox.forget(connection, scope)
                await doubts.cancel(connection, scope)
            count = 0
            for _ in range(_ROUNDS_MAX):
                count += sum([await self._api.delete(id) for id in found])
                found = await self._ids(scope)
                if not found:
                    break
            await self._sweep.once(scope.user_id)
        self._sweep.wake()
        return count

    async def history(self, scope: Scope, id: str | UUID) -> list[MemoryEvent]:
        known = memory_uuid(id)
        if known is None:
            return []
        async with self._asked():
            return events_of(await self._api.history(str(known)), known, scope)

    async def owners(self, *, limit: int) -> list[str]:
        async with self._asked():
            return await self._api.owners(limit=limit)

    async def _there(self, scope: Scope, id: UUID) -> StoredMemory | None:
        """As it lies there, if it is this owner's and no leftover of a request that was sent twice."""
        async with self._asked():
            found = await self._api.get(str(id))
        memories = [] if found is None or found.get("user_id") != scope.user_id else stored_memories([found], scope)
        return next(iter(await self._visible(scope, memories)), None)

    async def _all(self, scope: Scope) -> list[StoredMemory]:
        async with self._asked():
            found = stored_memories(await self._api.every(scope), scope)
        return await self._visible(scope, found)

    async def _ids(self, scope: Scope) -> list[str]:
        """By the platform's own names, whatever they look like."""
        return [one["id"] for one in await self._api.every(scope) if stored_memories([one], scope) and one.get("id")]

    async def _visible(self, scope: Scope, memories: Sequence[StoredMemory]) -> list[StoredMemory]:
        async with self._connect() as connection:
            unwanted = await doubts.doubts_of(connection, scope.user_id)
        return unwanted.visible(memories)

    async def _cancelled(self, scope: Scope, id: UUID) -> OutboxEntry | None:
        async with self._connect() as connection, connection.transaction():
            waiting = await outbox.unsaved(connection, scope, limit=_WAITING_MAX)
            entry = next((one for one in waiting if id in _ids_of(one)), None)
            if entry is not None:
                await outbox.forget(connection, scope, key=entry.key)
                await doubts.cancel(connection, scope, key=entry.key)
        return entry

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        try:
            yield
        except PlatformError as error:
            self._health.failed(error)
            raise


def _position(memory: StoredMemory) -> tuple[datetime, UUID]:
    return memory.created_at, memory.id


def _ids_of(entry: OutboxEntry) -> set[UUID]:
    return {memory_id(entry.user_id, entry.key, position) for position in range(len(entry.messages))}


def _checked_change(metadata: Mapping[str, Any]) -> dict[str, Any]:
    change = checked_metadata(metadata).value
    if taken := MARKS & change.keys():
        raise InvalidMetadataError(f"these names in metadata are ours, choose others: {', '.join(sorted(taken))}")
    return change

"""Mem0's platform as a memory by itself: no PostgreSQL, no outbox and no fallback, only a small file of our own.

It gives and takes any id, so we look first whose it is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from ...base import AnyMessage
from ..by_mem0.mem0_payload import is_internal
from ..checks import (
    checked_limit,
    checked_messages,
    checked_query,
    checked_session,
    checked_threshold,
    known_uuid,
    memory_uuid,
)
from ..engine import Filters
from ..engine_port import Recalls
from ..errors import InvalidMetadataError, InvalidTextError, MemoryNotFoundError
from ..facts.learned import MemoryChange
from ..filters import Filter, parse
from ..metadata import checked_metadata, merged
from ..records import FoundMemory, StoredMemory
from ..rows.edit import checked_text, existing
from ..rows.history import MemoryEvent
from ..rows.listing import checked_cursor
from ..scope import OfAgent, Scope, Whose, checked_id
from ..wishes import Wishes
from .api import TOP_K_MAX, Json, PlatformApi
from .options import PlatformOptions
from .results import MARKS, events_of, stored_memories, told_memory, without_marks
from .sending import Sending, Told
from .sent_file import SentFile

__all__ = ["PlatformMemory"]

_LISTED_MAX = 10_000
_AT_ONCE = 8  # deletions
_ROUNDS_MAX = 20

Event = Literal["ADD", "UPDATE", "SUPERSEDE", "NONE"]
_EVENTS: Mapping[str, Event] = {"UPDATE": "UPDATE", "DELETE": "SUPERSEDE", "NONE": "NONE", "NOOP": "NONE"}


class PlatformMemory:
    """A PlatformError where the platform is away: nothing was changed then, or it is safe to ask for it again.

    Whoever cancels a call ends its request. `recalls` may be set before the first question.
    `folder` is for the file in which stands what is on its way.
    """

    infers = True
    lacks = (
        "a search that knows how near a memory is in meaning alone",
        f"filters of its own (they are checked here, among the best {TOP_K_MAX})",
        "long-term extraction and checkpoints",
        "people and things, and how they stand to each other",
        "what an agent was granted",
    )

    def __init__(self, options: PlatformOptions, folder: Path) -> None:
        self.recalls: Recalls | None = None
        self._api = PlatformApi(options)
        self._sent = SentFile(folder / "platform.db")
        self._sending = Sending(self._api, self._sent, options)

    async def close(self, deadline_s: float = 0.0) -> None:
        await self._api.close()
        await self._sent.close()

    async def ping(self) -> None:
        """A PlatformError where the platform does not answer, or does not take the key."""
        await self._api.ping()

    async def add(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        infer: bool = False,
        instruction: Wishes | str | None = None,
        key: str | None = None,
    ) -> list[MemoryChange]:
        """Hand over messages and wait until the platform has made memories of them, as it does it.

        Once for each `key`: where that takes too long it is a StillPendingError, and whoever adds it again under the
        same key learns what became of it. Without a key it is waited for until whoever waits gives up.
        """
        scope, session = Scope(user_id, agent_id), checked_session(session_id)
        given = {} if metadata is None else _checked_change(metadata)
        name = None if key is None else checked_id("key", key)
        said = checked_messages(messages)
        if not said:
            return []
        marks = {"agent_id": agent_id, "session_id": session}
        attached = {**given, **{mark: value for mark, value in marks.items() if value}}
        told = Told(said, user_id, attached, infer, Wishes.of(instruction).instruction)
        return [_change_of(one, scope) for one in await self._sending.send(told, name) if isinstance(one, Mapping)]

    async def search(
        self,
        query: str,
        *,
        user_id: str,
        agent_id: str | None = None,
        top_k: int = 20,
        filters: Filters = None,
        threshold: float | None = None,
    ) -> list[FoundMemory]:
        """The memories that fit best, the best first."""
        return await self._found(query, Scope(user_id, agent_id), top_k, filters, threshold)

    async def search_by_agent(
        self,
        query: str,
        *,
        agent_id: str,
        top_k: int = 20,
        filters: Filters = None,
        threshold: float | None = None,
    ) -> list[FoundMemory]:
        """The same among what one agent heard, whoever it is about."""
        return await self._found(query, OfAgent(agent_id), top_k, filters, threshold)

    async def owner_of(self, id: str | UUID) -> str | None:
        """Whose memory this is, or was before it was deleted; None if nobody has or had one with this id."""
        known = memory_uuid(id)
        if known is None:
            return None
        found = await self._api.get(str(known))
        lines = [found] if found is not None else await self._api.history(str(known))
        owners = [line.get("user_id") for line in lines if isinstance(line, Mapping)]
        return next((owner for owner in owners if isinstance(owner, str) and owner), None)

    async def get(self, id: str | UUID, *, user_id: str) -> StoredMemory | None:
        scope, known = Scope(user_id), memory_uuid(id)
        memory = None if known is None else await self._there(scope, known)
        return None if memory is None else without_marks(memory)

    async def get_all(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        filters: Filters = None,
        top_k: int = 100,
        cursor: str | None = None,
    ) -> list[StoredMemory]:
        """The newest first; with `cursor_of` the last one, those behind it."""
        return await self._page(Scope(user_id, agent_id), parse(filters), top_k, cursor)

    async def list_by_agent(
        self, *, agent_id: str, filters: Filters = None, top_k: int = 100, cursor: str | None = None
    ) -> list[StoredMemory]:
        """What one agent heard, whoever it is about, in the same way."""
        return await self._page(OfAgent(agent_id), parse(filters), top_k, cursor)

    async def update(
        self,
        id: str | UUID,
        *,
        user_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> StoredMemory:
        """Give a memory another text. Metadata is merged: None takes a name away."""
        scope, known = Scope(user_id), known_uuid(id)
        new_text = None if text is None else checked_text(text)
        change = None if metadata is None else _checked_change(metadata)
        if new_text is None and change is None:
            raise InvalidTextError("an update needs a text, metadata or both")
        old = existing(await self._there(scope, known))
        changes: Json = {} if new_text is None else {"text": new_text}
        if change is not None:
            changes["metadata"] = merged(old.metadata, change)
        await self._api.update(str(known), changes)
        new = await self._there(scope, known)
        return without_marks(new or replace(old, text=new_text or old.text))

    async def delete(self, id: str | UUID, *, user_id: str) -> None:
        known = known_uuid(id)
        existing(await self._there(Scope(user_id), known))
        if not await self._api.delete(str(known)):
            raise MemoryNotFoundError

    async def delete_all(self, *, user_id: str, agent_id: str | None = None) -> int:
        """Returns how many there were. What the platform still makes of earlier messages may come later."""
        scope, count = Scope(user_id, agent_id), 0
        for _ in range(_ROUNDS_MAX):
            found = [one["id"] for one in await self._api.every(scope) if one.get("id") and _shown([one], scope)]
            if not found:
                break
            count += await self._delete(found)
        return count

    async def history(self, id: str | UUID, *, user_id: str) -> list[MemoryEvent]:
        """The oldest first, as the platform tells it. Empty if this owner never had it."""
        scope, known = Scope(user_id), memory_uuid(id)
        return [] if known is None else events_of(await self._api.history(str(known)), known, scope)

    def recalled(self, found: Sequence[FoundMemory], *, user_id: str) -> None:
        if self.recalls is not None:
            self.recalls.recalled(found, user_id=user_id)

    async def _found(
        self, query: str, whose: Whose, top_k: int, filters: Filters, threshold: float | None
    ) -> list[FoundMemory]:
        asked, limit, wanted = checked_query(query), checked_limit(top_k, TOP_K_MAX), parse(filters)
        if not asked or limit < 1:
            return []
        most = TOP_K_MAX if filters else limit
        # Without a threshold the platform would leave out what seems to fit badly: that is up to who asks.
        found = await self._api.search(asked, whose, top_k=most, threshold=checked_threshold(threshold) or 0.0)
        memories = [replace(one, memory=without_marks(one.memory)) for one in found]
        shown = [one for one in memories if not is_internal(one.memory.metadata) and wanted.matches(one.memory)]
        return sorted(shown, key=lambda one: one.score, reverse=True)[:limit]

    async def _page(self, whose: Whose, wanted: Filter, top_k: int, cursor: str | None) -> list[StoredMemory]:
        """The platform pages as it likes: all of them are read, and then chosen from."""
        limit, after = checked_limit(top_k, _LISTED_MAX), checked_cursor(cursor)
        if not limit:
            return []
        memories = sorted(_shown(await self._api.every(whose), whose), key=_position, reverse=True)
        fitting = [one for one in memories if wanted.matches(one) and (after is None or _position(one) < after)]
        return fitting[:limit]

    async def _there(self, scope: Scope, id: UUID) -> StoredMemory | None:
        """As it lies there, if it is this owner's."""
        found = await self._api.get(str(id))
        if found is None or found.get("user_id") != scope.user_id or is_internal(found.get("metadata")):
            return None
        return next(iter(stored_memories([found], scope)), None)

    async def _delete(self, ids: Sequence[str]) -> int:
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(id: str) -> bool:
            async with free:
                return await self._api.delete(id)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(id)) for id in ids]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return sum(task.result() for task in tasks)


def _shown(found: Sequence[Json], whose: Whose) -> list[StoredMemory]:
    memories = (without_marks(one) for one in stored_memories(found, whose))
    return [one for one in memories if not is_internal(one.metadata)]


def _change_of(told: Mapping[str, Any], scope: Scope) -> MemoryChange:
    return MemoryChange(without_marks(told_memory(told, scope)), _EVENTS.get(str(told.get("event")), "ADD"))


def _position(memory: StoredMemory) -> tuple[datetime, UUID]:
    return memory.created_at, memory.id


def _checked_change(metadata: Mapping[str, Any]) -> dict[str, Any]:
    change = checked_metadata(metadata).value
    if taken := MARKS & change.keys():
        raise InvalidMetadataError(f"these names in metadata are ours, choose others: {', '.join(sorted(taken))}")
    return dict(change)

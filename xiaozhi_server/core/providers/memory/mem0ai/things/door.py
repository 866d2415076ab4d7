"""What the engine offers of people and things: looked up, named, merged, related, deleted; always of one owner."""

import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection

from ..checks import checked_limit, memory_uuid
from ..errors import MemoryInputError, RelationNotFoundError, ThingNotFoundError
from ..records import StoredMemory
from ..scope import Scope
from . import listing
from .editor import ThingEditor
from .listing import checked_cursor
from .records import Relation, Thing

Id = str | uuid.UUID

_LISTED_MAX = 10_000


class KnowsThings:
    """A part of the engine, which has the connections."""

    def _connection(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        raise NotImplementedError

    def _changed(self, user_id: str) -> None:
        raise NotImplementedError

    async def things(
        self, *, user_id: str, agent_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> list[Thing]:
        """This owner's people and things; with `things.listing.cursor_of` the last one, those behind it."""
        scope, most, after = Scope(user_id, agent_id), checked_limit(limit, _LISTED_MAX), checked_cursor(cursor)
        async with self._connection() as connection:
            return await listing.things(connection, scope, after=after, limit=most)

    async def thing(self, id: Id, *, user_id: str) -> Thing | None:
        """One of them; None if there is none with this id, or it is somebody else's."""
        scope, known = Scope(user_id), memory_uuid(id)
        if known is None:
            return None
        async with self._connection() as connection:
            return await listing.thing(connection, scope, known)

    async def relations(
        self,
        *,
        user_id: str,
        agent_id: str | None = None,
        thing_id: Id | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> list[Relation]:
        """How they are related, those that have ended among them: all, or what one of them stands in."""
        scope, most, after = Scope(user_id, agent_id), checked_limit(limit, _LISTED_MAX), checked_cursor(cursor)
        one = None if thing_id is None else _known(thing_id, ThingNotFoundError)
        async with self._connection() as connection:
            return await listing.relations(connection, scope, thing_id=one, after=after, limit=most)

    async def memories_of_thing(self, id: Id, *, user_id: str, limit: int = 100) -> list[StoredMemory]:
        """What is remembered of it, the newest first, what is not true any more among it."""
        scope, known, most = Scope(user_id), _known(id, ThingNotFoundError), checked_limit(limit, _LISTED_MAX)
        async with self._connection() as connection:
            if await listing.thing(connection, scope, known) is None:
                raise ThingNotFoundError
            return await listing.memories_about(connection, scope, known, limit=most)

    async def update_thing(
        self,
        id: Id,
        *,
        user_id: str,
        name: str | None = None,
        kind: str | None = None,
        also: Sequence[str] | None = None,
    ) -> Thing:
        """Another name, kind or list of other names. Without such a list the name that it had becomes one of them."""
        return await self._editor_of_things().update(Scope(user_id), _known(id, ThingNotFoundError), name, kind, also)

    async def merge_things(self, id: Id, into: Id, *, user_id: str) -> Thing:
        """The first was the second all along: its names, memories and relations are that one's from now on."""
        scope = Scope(user_id)
        one, other = _known(id, ThingNotFoundError), _known(into, ThingNotFoundError)
        return await self._editor_of_things().merge(scope, one, other)

    async def delete_thing(self, id: Id, *, user_id: str) -> None:
        """With its relations. The memories about it stay: see `memories_of_thing` for those."""
        await self._editor_of_things().delete(Scope(user_id), _known(id, ThingNotFoundError))

    async def add_relation(
        self, subject_id: Id, relation: str, object_id: Id | None = None, *, user_id: str
    ) -> Relation:
        """The subject is the object's `relation` (sister, boss, dog), or without an object the owner's."""
        subject = _known(subject_id, ThingNotFoundError)
        other = None if object_id is None else _known(object_id, ThingNotFoundError)
        return await self._editor_of_things().relate(Scope(user_id), subject, relation, other)

    async def delete_relation(self, id: Id, *, user_id: str) -> None:
        await self._editor_of_things().unrelate(Scope(user_id), _known(id, RelationNotFoundError))

    def _editor_of_things(self) -> ThingEditor:
        return ThingEditor(self._connection, self._changed)


def _known(id: Id, missing: type[MemoryInputError]) -> uuid.UUID:
    found = memory_uuid(id)
    if found is None:
        raise missing
    return found

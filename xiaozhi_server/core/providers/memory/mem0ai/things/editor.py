"""Correcting what is known of people and things: always one owner's, a change as a whole or not at all."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation

from ..errors import InvalidTextError, MemoryInputError, NameTakenError, RelationNotFoundError, ThingNotFoundError
from ..facts.thing import key_of, relation_id, thing_id
from ..message import storable
from ..recall.things import SELF
from ..scope import Scope
from ..statements import statement
from . import listing
from .records import Relation, Thing

Connection = AsyncConnection[Any]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]

_LONGEST_NAME = 200
_LONGEST_KIND = 50
_MOST_NAMES = 20
_OWNERS_NAME = "I"


class ThingEditor:
    """`changed` is told of whom something else is known now, once that is committed."""

    def __init__(self, connect: Connect, changed: Callable[[str], None]) -> None:
        self._connect = connect
        self._changed = changed

    async def update(self, scope: Scope, id: UUID, name: object, kind: object, also: Sequence[object] | None) -> Thing:
        new_name = None if name is None else checked_name(name)
        new_kind = None if kind is None else _text("a kind", kind, _LONGEST_KIND)
        new_also = None if also is None else _names(also)
        if new_name is None and new_kind is None and new_also is None:
            raise InvalidTextError("an update needs a name, a kind or other names")
        async with self._connect() as connection, connection.transaction():
            old = (await _locked(connection, scope, id))[0]
            if old.is_owner:
                raise MemoryInputError("this is the owner, who has no name here")
            # Under the name that it had it is still found, and still meant when it is told of again.
            others = [*old.also, old.name] if new_also is None else new_also
            names = [old.name if new_name is None else new_name, *others]
            await _write(connection, old, names, old.kind if new_kind is None else new_kind)
            new = await _existing(connection, scope, id)
        self._changed(scope.user_id)
        return new

    async def merge(self, scope: Scope, id: UUID, into: UUID) -> Thing:
        """The first is the same as the second: what is known of it is known of that one, and so are its names."""
        if id == into:
            raise MemoryInputError("a person or thing cannot be merged with itself")
        async with self._connect() as connection, connection.transaction():
            old, kept = await _locked(connection, scope, id, into)
            if old.is_owner:
                raise MemoryInputError("the owner cannot become somebody else: merge the other one into the owner")
            if old.agent_id != kept.agent_id:
                raise MemoryInputError("what different agents heard of is never the same: merge within one agent")
            both = {"user_id": scope.user_id, "id": id, "into": into}
            for change in ("thing_move_links", "thing_drop_relations", "thing_move_relations", "thing_delete"):
                await connection.execute(statement(change), both)
            await _write(connection, kept, [kept.name, *kept.also, old.name, *old.also], kept.kind or old.kind)
            new = await _existing(connection, scope, into)
        self._changed(scope.user_id)
        return new

    async def delete(self, scope: Scope, id: UUID) -> None:
        """With its relations; the memories about it stay."""
        await self._delete(scope, "thing_delete", id, ThingNotFoundError)

    async def relate(self, scope: Scope, subject: UUID, relation: object, other: UUID | None) -> Relation:
        """The subject is the other one's `relation`; without another one it is the owner's."""
        told = _text("a relation", relation, _LONGEST_KIND)
        if not told:
            raise InvalidTextError("a relation needs a word: sister, boss, dog")
        async with self._connect() as connection, connection.transaction():
            who = (await _locked(connection, scope, subject))[0]
            whose = await _owner(connection, who) if other is None else (await _locked(connection, scope, other))[0].id
            if whose == subject:
                raise MemoryInputError("nobody is related to themselves")
            object_ = await _existing(connection, scope, whose)
            if object_.agent_id != who.agent_id:
                raise MemoryInputError("what different agents heard of is not related: choose both of one agent")
            parameters = {
                "user_id": scope.user_id,
                "id": relation_id(subject, told, whose),
                "agent_id": who.agent_id,
                "subject": subject,
                "relation": told,
                "object": whose,
            }
            cursor = await connection.execute(statement("relation_put"), parameters)
            row = await cursor.fetchone()
            assert row is not None
            found = await listing.relation(connection, scope, row[0])
            assert found is not None
        self._changed(scope.user_id)
        return found

    async def unrelate(self, scope: Scope, id: UUID) -> None:
        await self._delete(scope, "relation_delete", id, RelationNotFoundError)

    async def _delete(self, scope: Scope, name: str, id: UUID, missing: type[MemoryInputError]) -> None:
        async with self._connect() as connection, connection.transaction():
            cursor = await connection.execute(statement(name), {"user_id": scope.user_id, "id": id})
            if not cursor.rowcount:
                raise missing
        self._changed(scope.user_id)


def checked_name(name: object) -> str:
    text = _text("a name", name, _LONGEST_NAME)
    if not text:
        raise InvalidTextError("a person or thing needs a name: delete it if it shall be gone")
    if key_of(text) == SELF:
        raise InvalidTextError("this is what the owner is called: merge with the owner if that is meant")
    if not any(map(str.isalnum, text)):
        raise InvalidTextError("a name needs a letter or a digit")
    return text


def _text(what: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise InvalidTextError(f"{what} is text, not {type(value).__name__}")
    text = " ".join(storable(value).split())
    if len(text) > longest:
        raise InvalidTextError(f"{what} has at most {longest} characters")
    return text


def _names(also: object) -> list[str]:
    if not isinstance(also, Sequence) or isinstance(also, str | bytes | bytearray):
        raise InvalidTextError(f"other names are a list, not {type(also).__name__}")
    if len(also) > _MOST_NAMES:
        raise InvalidTextError(f"a person or thing has at most {_MOST_NAMES} other names")
    return [checked_name(name) for name in also]


async def _locked(connection: Connection, scope: Scope, *ids: UUID) -> list[Thing]:
    """As they stay until our transaction changes them."""
    await connection.execute(statement("thing_lock"), {"user_id": scope.user_id, "ids": list(ids)})
    return [await _existing(connection, scope, id) for id in ids]


async def _existing(connection: Connection, scope: Scope, id: UUID) -> Thing:
    found = await listing.thing(connection, scope, id)
    if found is None:
        raise ThingNotFoundError
    return found


async def _write(connection: Connection, old: Thing, names: Sequence[str], kind: str) -> None:
    """The first of the names is its own, the others are each kept once."""
    name, *others = names
    key = old.key if old.is_owner else key_of(name)
    also = {key_of(other): other for other in reversed(others)}
    also.pop(key, None)
    kept = [(other_key, other) for other_key, other in reversed(also.items())][:_MOST_NAMES]
    parameters = {
        "user_id": old.user_id,
        "id": old.id,
        "name": name,
        "kind": kind,
        "key": key,
        "also": [other for _, other in kept],
        "also_keys": [other_key for other_key, _ in kept],
    }
    try:
        await connection.execute(statement("thing_change"), parameters)
    except UniqueViolation:
        raise NameTakenError from None


async def _owner(connection: Connection, who: Thing) -> UUID:
    """The owner as this agent knows them, from now on if not before."""
    scope = {"user_id": who.user_id, "agent_id": who.agent_id}
    new = {"id": thing_id(who.user_id, who.agent_id, SELF), "name": _OWNERS_NAME, "kind": "", "key": SELF}
    rest = {"also": [], "also_keys": [], "said_at": datetime.now(UTC)}
    await connection.execute(statement("thing_add"), {**scope, **new, **rest})
    cursor = await connection.execute(statement("thing_named"), {**scope, "keys": [SELF]})
    row = await cursor.fetchone()
    assert row is not None
    return UUID(str(row[0]))

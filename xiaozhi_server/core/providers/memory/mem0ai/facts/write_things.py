"""Writes whom and what memories are about. The same name is the same thing, whatever the model calls it next time."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from ..statements import statement
from .answer import NamedThing
from .learned import Learned
from .read_things import named
from .thing import KnownThing, key_of, relation_id, thing_id, with_key

Connection = AsyncConnection[Any]

_MOST_NAMES = 20  # of one thing


async def write(connection: Connection, learned: Learned, moved: Mapping[UUID, UUID]) -> None:
    """`moved`: what was said again is another row than the links say."""
    whose = next(row.memory for row in (*learned.rows, *(one.new for one in learned.again)))
    keys = sorted({key_of(name) for thing in learned.things for name in (thing.name, *thing.also)})
    known = await named(connection, whose.user_id, whose.agent_id, keys)
    ids: dict[str, UUID] = {}
    for thing in learned.things:
        found = await _put(connection, thing, known, whose.user_id, whose.agent_id, whose.created_at)
        known.append(found)
        ids[key_of(thing.name)] = found.id
    for memory_id, name in learned.links:
        link = {"memory_id": moved.get(memory_id, memory_id), "thing_id": ids[key_of(name)]}
        await connection.execute(statement("link_add"), {"user_id": whose.user_id, **link})
    for told in learned.relations:
        subject, other = ids[key_of(told.subject)], ids[key_of(told.other)]
        relation = {
            "user_id": whose.user_id,
            "id": relation_id(subject, told.relation, other),
            "agent_id": whose.agent_id,
            "subject": subject,
            "relation": told.relation,
            "object": other,
            "memory_id": moved.get(told.memory_id, told.memory_id),
            "said_at": whose.created_at,
        }
        if subject != other:
            await connection.execute(statement("relation_add"), relation)


async def _put(
    connection: Connection,
    told: NamedThing,
    known: Iterable[KnownThing],
    user_id: str,
    agent_id: str,
    said_at: datetime,
) -> KnownThing:
    """The thing itself, with what was told of it now."""
    key = key_of(told.name)
    there = with_key(known, key)
    thing = there or KnownThing(thing_id(user_id, agent_id, key), told.name, "", key)
    taken = {one.key for one in known} - {thing.key}
    thing = _grown(thing, told, taken)
    if thing != there:
        name = "thing_add" if there is None else "thing_grow"
        await connection.execute(statement(name), _columns(thing, user_id, agent_id, said_at))
    return thing


def _grown(thing: KnownThing, told: NamedThing, taken: set[str]) -> KnownThing:
    """With a kind where it had none, and other names that belong to nobody else."""
    names = {key_of(name): name for name in told.also}
    new = {key: name for key, name in names.items() if key not in thing.keys and key not in taken}
    room = max(0, _MOST_NAMES - len(thing.also))
    return replace(
        thing,
        kind=thing.kind or told.kind,
        also=(*thing.also, *list(new.values())[:room]),
        also_keys=(*thing.also_keys, *list(new)[:room]),
    )


def _columns(thing: KnownThing, user_id: str, agent_id: str, said_at: datetime) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "id": thing.id,
        "agent_id": agent_id,
        "name": thing.name,
        "kind": thing.kind,
        "key": thing.key,
        "also": list(thing.also),
        "also_keys": list(thing.also_keys),
        "said_at": said_at,
    }

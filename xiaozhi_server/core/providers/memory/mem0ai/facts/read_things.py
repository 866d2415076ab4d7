"""People and things as they lie in the tables."""

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ..recall.folding import folded
from ..statements import statement
from .thing import SELF, KnownThing

Connection = AsyncConnection[Any]

_MOST_COMPARED = 1000
_MOST_SHOWN = 30


async def latest(connection: Connection, user_id: str, agent_id: str) -> list[KnownThing]:
    """What an owner's memories are about, as much of it as is compared with a talk."""
    asked = {"user_id": user_id, "agent_id": agent_id, "limit": _MOST_COMPARED}
    return [thing for thing in await _things(connection, "thing_list", asked) if thing.key != SELF]


def mentioned(things: Iterable[KnownThing], texts: Iterable[str]) -> list[KnownThing]:
    """Those of them that are named in the texts."""
    said = " ".join(folded("\n".join(texts)).split())
    return [thing for thing in things if any(key in said for key in thing.keys)][:_MOST_SHOWN]


async def named(connection: Connection, user_id: str, agent_id: str, keys: list[str]) -> list[KnownThing]:
    """The things with these keys, ours until the transaction ends."""
    return await _things(connection, "thing_named", {"user_id": user_id, "agent_id": agent_id, "keys": keys})


async def _things(connection: Connection, name: str, parameters: dict[str, Any]) -> list[KnownThing]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return [_thing(row) for row in await cursor.fetchall()]


def _thing(row: DictRow) -> KnownThing:
    return KnownThing(row["id"], row["name"], row["kind"], row["key"], tuple(row["also"]), tuple(row["also_keys"]))

"""The people and things of an owner, as statements tell them in JSON; of a great many the ones that changed last.

And which agent may read what another one heard: of the people and things that this one knows, too.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from ..recall.things import NOTHING_KNOWN, Relation, Thing, Things
from ..statements import statement

_MOST = 2000
# Expressions for a statement with the parameter user_id.
KNOWN = statement("things_known").decode().replace("{most}", str(_MOST)).strip()
SHARES = (
    "(SELECT coalesce(json_agg(json_build_array(agent_id, from_agent)), '[]')"
    " FROM memory_share WHERE user_id = %(user_id)s)"
)
_READ = f"SELECT {KNOWN}, {SHARES}".encode()


def things_in(known: Mapping[str, Any]) -> Things:
    """From what KNOWN brings."""
    things: Sequence[Mapping[str, Any]] = known["things"]
    if not things:
        return NOTHING_KNOWN
    return Things([_thing(one) for one in things], [_relation(one) for one in known["relations"]])


def granted_in(shares: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For each agent those that it may read besides."""
    granted: dict[str, tuple[str, ...]] = {}
    for agent_id, from_agent in shares:
        granted[agent_id] = (*granted.get(agent_id, ()), from_agent)
    return granted


async def read_things(connection: AsyncConnection[Any], user_id: str) -> tuple[Things, dict[str, tuple[str, ...]]]:
    """What is known of this owner, and what was granted to whom."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_READ, {"user_id": user_id})
        row = await cursor.fetchone()
    assert row is not None
    return things_in(row[0]), granted_in(row[1])


def _thing(one: Mapping[str, Any]) -> Thing:
    names, keys = (one["name"], *one["also"]), (one["key"], *one["also_keys"])
    return Thing(UUID(one["id"]), one["agent_id"], names, keys)


def _relation(one: Mapping[str, Any]) -> Relation:
    valid_to = one["valid_to"]
    ends_at_s = None if valid_to is None else datetime.fromisoformat(valid_to).timestamp()
    return Relation(UUID(one["subject"]), one["relation"], UUID(one["object"]), ends_at_s)

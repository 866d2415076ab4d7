"""One owner's people, things and relations, looked up by their id or paged through in the order in which they came."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ..errors import InvalidCursorError
from ..records import StoredMemory
from ..rows.pgstore import memory_of
from ..scope import Scope
from ..statements import composed
from .records import Relation, Thing

Connection = AsyncConnection[Any]

_LONGEST_CURSOR = 100
_ABOUT = "id IN (SELECT memory_id FROM memory_link WHERE user_id = %(user_id)s AND thing_id = %(thing_id)s)"


def cursor_of(one: Thing | Relation) -> str:
    """Where to go on behind this one. It holds however many come and go meanwhile, as long as this one stays."""
    return base64.urlsafe_b64encode(one.id.bytes).decode()


def checked_cursor(cursor: object) -> UUID | None:
    if cursor is None:
        return None
    try:
        if not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        return UUID(bytes=base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise InvalidCursorError("this cursor was not made by cursor_of: begin again without one") from None


async def things(connection: Connection, scope: Scope, *, after: UUID | None, limit: int) -> list[Thing]:
    which = "TRUE" if after is None else "id > %(after)s"
    return [_thing(row) for row in await _rows(connection, "things_list", which, scope, after=after, limit=limit)]


async def thing(connection: Connection, scope: Scope, id: UUID) -> Thing | None:
    found = await _rows(connection, "things_list", "id = %(id)s", scope, id=id, limit=1)
    return _thing(found[0]) if found else None


async def relations(
    connection: Connection, scope: Scope, *, thing_id: UUID | None = None, after: UUID | None, limit: int
) -> list[Relation]:
    which = "TRUE" if after is None else "relation.id > %(after)s"
    if thing_id is not None:
        which += " AND (relation.subject = %(thing_id)s OR relation.object = %(thing_id)s)"
    asked = {"after": after, "thing_id": thing_id, "limit": limit}
    return [Relation(**row) for row in await _rows(connection, "relations_list", which, scope, **asked)]


async def relation(connection: Connection, scope: Scope, id: UUID) -> Relation | None:
    found = await _rows(connection, "relations_list", "relation.id = %(id)s", scope, id=id, limit=1)
    return Relation(**found[0]) if found else None


async def memories_about(connection: Connection, scope: Scope, thing_id: UUID, *, limit: int) -> list[StoredMemory]:
    """The newest first, those that are not true any more among them."""
    found = await _rows(connection, "entry_list", _ABOUT, scope, thing_id=thing_id, run_id=None, limit=limit)
    return [memory_of(row) for row in found]


async def _rows(connection: Connection, name: str, which: str, scope: Scope, **asked: Any) -> list[DictRow]:
    parameters: Mapping[str, Any] = {"user_id": scope.user_id, "agent_id": scope.agent_id, **asked}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(composed(name, which=which), parameters)
        return await cursor.fetchall()


def _thing(row: DictRow) -> Thing:
    return Thing(**{**row, "also": tuple(row["also"])})

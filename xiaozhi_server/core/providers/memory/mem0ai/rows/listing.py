"""One owner's memories, looked up by their id or paged through from the newest to the oldest."""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..errors import InvalidCursorError
from ..filters import Filter
from ..records import StoredMemory
from ..scope import Scope
from ..statements import composed, statement
from .pgstore import memory_of

Connection = AsyncConnection[Any]
Position = tuple[datetime, UUID]

_LONGEST_CURSOR = 200
_NOT_EXPIRED = "(expires_at IS NULL OR expires_at > now())"


def cursor_of(memory: StoredMemory) -> str:
    """Where to go on behind this memory. It holds however many memories come and go meanwhile."""
    return base64.urlsafe_b64encode(f"{memory.created_at.isoformat()}|{memory.id}".encode()).decode()


def checked_cursor(cursor: object) -> Position | None:
    if cursor is None:
        return None
    try:
        if not isinstance(cursor, str) or len(cursor) > _LONGEST_CURSOR:
            raise ValueError
        moment, _, id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition("|")
        created_at = datetime.fromisoformat(moment)
        if created_at.tzinfo is None:
            raise ValueError
        return created_at, UUID(id)
    except (ValueError, binascii.Error):
        raise InvalidCursorError("this cursor was not made by cursor_of: begin again without one") from None


async def page(
    connection: Connection, scope: Scope, wanted: Filter, *, after: Position | None, limit: int
) -> list[StoredMemory]:
    """The newest that fit, those that were said at the same moment in the order of their ids.

    None that has expired, and none that a summary stands for unless the filter asks for those.
    """
    which, parameters = _which(wanted, after)
    return await _memories(
        connection, composed("entry_list", which=which), {**_of(scope), **parameters, "limit": limit}
    )


async def page_of_agent(
    connection: Connection, agent_id: str, wanted: Filter, *, after: Position | None, limit: int
) -> list[StoredMemory]:
    """The same of what one agent heard of everybody."""
    which, parameters = _which(wanted, after)
    return await _memories(
        connection, composed("agent_list", which=which), {**parameters, "agent_id": agent_id, "limit": limit}
    )


async def owner_of(connection: Connection, id: UUID) -> str | None:
    """Whose memory this is, or was before it was deleted."""
    cursor = await connection.execute(statement("entry_owner"), {"id": id})
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def one(connection: Connection, scope: Scope, id: UUID) -> StoredMemory | None:
    found = await _memories(
        connection, composed("entry_list", which="id = %(id)s"), {**_of(scope), "id": id, "limit": 1}
    )
    return found[0] if found else None


async def locked(connection: Connection, scope: Scope, id: UUID) -> StoredMemory | None:
    """The memory as it stays until our transaction changes it."""
    found = await _memories(connection, statement("entry_lock"), {"user_id": scope.user_id, "id": id})
    return found[0] if found else None


async def _memories(connection: Connection, query: bytes, parameters: Mapping[str, Any]) -> list[StoredMemory]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return [memory_of(row) for row in await cursor.fetchall()]


def _which(wanted: Filter, after: Position | None) -> tuple[str, dict[str, Any]]:
    condition, parameters = wanted.sql()
    which = f"{_NOT_EXPIRED} AND {condition}"
    if "compressed_into" not in wanted.fields:
        which += " AND compressed_into IS NULL"
    if after is not None:
        which += " AND (created_at, id) < (%(after_time)s::timestamptz, %(after_id)s::uuid)"
        parameters |= {"after_time": after[0], "after_id": after[1]}
    return which, parameters


def _of(scope: Scope) -> dict[str, str | None]:
    return {"user_id": scope.user_id, "agent_id": scope.agent_id, "run_id": scope.run_id}

"""What shall be remembered, kept safe until it is: one table, written in the caller's transaction.

Knows how entries are put in, claimed, settled and postponed; not what becomes of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ..base import SpokenMessage
from .message import from_json, to_json
from .scope import Scope
from .statements import statement

Connection = AsyncConnection[Any]

_CLAIM_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('memory_outbox', 0))"


class OutboxFullError(RuntimeError):
    """Too many entries of one owner wait already; this one was not taken."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Messages that belong together: they are remembered all at once or not at all, and once per key."""

    user_id: str
    key: str
    agent_id: str
    session_id: str
    messages: tuple[SpokenMessage, ...]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How much waits, how much was given up (it is kept, and still found by its words), how old the oldest is."""

    waiting: int
    dead: int
    oldest: timedelta


async def put(connection: Connection, entry: OutboxEntry, *, limit: int) -> bool:
    """Write the entry in the connection's transaction; False if its key was there before."""
    parameters = {
        "user_id": entry.user_id,
        "key": entry.key,
        "agent_id": entry.agent_id,
        "session_id": entry.session_id,
        "messages": to_json(entry.messages),
        "limit": limit,
    }
    (row,) = await _rows(connection, "outbox_put", parameters)
    if not row["added"] and not row["known"]:
        raise OutboxFullError(f"{limit} entries of this owner are not saved yet")
    return bool(row["added"])


async def claim(connection: Connection, *, limit: int, lease_s: float) -> list[OutboxEntry]:
    """The next entry of each owner, ours for `lease_s` seconds. A worker that dies gives them back that way."""
    async with connection.transaction():
        await connection.execute(_CLAIM_LOCK)
        return [_entry(row) for row in await _rows(connection, "outbox_claim", {"limit": limit, "lease_s": lease_s})]


async def settle(connection: Connection, entry: OutboxEntry) -> bool:
    """Mark as done in the transaction that saves the memories; False if the entry is not ours any more."""
    return bool(await _rows(connection, "outbox_settle", _own(entry)))


async def postpone(
    connection: Connection, entry: OutboxEntry, *, pause_s: float, attempts_max: int, error: str
) -> None:
    """Try again after a pause, or give up for good where it was tried often enough."""
    await connection.execute(
        statement("outbox_postpone"), {**_own(entry), "pause_s": pause_s, "attempts_max": attempts_max, "error": error}
    )


async def unsaved(connection: Connection, scope: Scope, *, limit: int) -> list[OutboxEntry]:
    """What this owner said that is no memory yet, the newest first."""
    parameters = {"user_id": scope.user_id, "agent_id": scope.agent_id, "limit": limit}
    return [_entry(row) for row in await _rows(connection, "outbox_unsaved", parameters)]


async def forget(connection: Connection, scope: Scope) -> int:
    cursor = await connection.execute(
        statement("outbox_forget"), {"user_id": scope.user_id, "agent_id": scope.agent_id}
    )
    return cursor.rowcount


async def purge(connection: Connection, *, keep_s: float) -> int:
    """Drop the proofs of used keys that are older than `keep_s` seconds."""
    cursor = await connection.execute(statement("outbox_purge"), {"keep_s": keep_s})
    return cursor.rowcount


async def depth(connection: Connection) -> OutboxDepth:
    (row,) = await _rows(connection, "outbox_depth", {})
    return OutboxDepth(row["waiting"], row["dead"], timedelta(seconds=row["oldest_s"]))


async def _rows(connection: Connection, name: str, parameters: dict[str, Any]) -> Sequence[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()


def _own(entry: OutboxEntry) -> dict[str, Any]:
    return {"user_id": entry.user_id, "key": entry.key, "attempts": entry.attempts}


def _entry(row: DictRow) -> OutboxEntry:
    return OutboxEntry(
        row["user_id"], row["key"], row["agent_id"], row["session_id"], from_json(row["messages"]), row["attempts"]
    )

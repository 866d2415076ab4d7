"""What shall be remembered, kept safe until it is: one table, written in the caller's transaction.

Knows how entries are put in, claimed, settled, postponed and replayed; not what becomes of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ...base import SpokenMessage
from ..message import from_json, images_json, to_json
from ..scope import Scope
from ..statements import statement
from ..wishes import Wishes

Connection = AsyncConnection[Any]

_CLAIM_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('memory_outbox', 0))"

_HOLD = "SELECT memory_hold(%s)"


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
    wishes: Wishes = field(default_factory=Wishes)  # of the agent, for a saver that asks a model


Batch = tuple[OutboxEntry, ...]  # entries of one owner that are saved together; never empty


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that was given up, and the kind of its last error. It is still found by its words."""

    entry: OutboxEntry
    error: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Size:
    """When a batch holds enough (see `BatchPolicy`)."""

    exchanges: int = 1
    chars: int = 1
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """How much waits, how much was given up (it is kept, and still found by its words), how old the oldest is."""

    waiting: int
    dead: int
    oldest: timedelta


async def put(connection: Connection, entry: OutboxEntry, *, limit: int) -> bool:
    """Write the entry in the connection's transaction.

    False if its key was there before, or some of it was said before its owner was forgotten.
    """
    parameters = {
        "user_id": entry.user_id,
        "key": entry.key,
        "agent_id": entry.agent_id,
        "session_id": entry.session_id,
        "messages": to_json(entry.messages),
        "images": images_json(entry.messages),
        "chars": sum(len(message.content) for message in entry.messages),
        "instruction": entry.wishes.as_text(),
        "limit": limit,
    }
    (row,) = await _rows(connection, "outbox_put", parameters)
    if row["is_full"]:
        raise OutboxFullError(f"{limit} entries of this owner are not saved yet")
    return bool(row["added"])


async def claim(connection: Connection, size: Size, *, limit: int, lease_s: float) -> list[Batch]:
    """The next batch of each owner, ours for `lease_s` seconds. A worker that dies gives them back that way."""
    parameters = {
        "exchanges": size.exchanges,
        "chars": size.chars,
        "idle_s": size.idle_s,
        "limit": limit,
        "lease_s": lease_s,
    }
    async with connection.transaction():
        await connection.execute(_CLAIM_LOCK)
        rows = await _rows(connection, "outbox_claim", parameters)
    in_order = sorted(rows, key=lambda row: (row["batch"], row["seq"]))
    return [tuple(map(_entry, batch)) for _, batch in groupby(in_order, key=lambda row: row["batch"])]


async def end(connection: Connection, *, user_id: str, session_id: str) -> None:
    """Nothing more comes from this session: what waits for more of it need not wait."""
    await connection.execute(statement("outbox_end"), {"user_id": user_id, "session_id": session_id})


async def hold(connection: Connection, batches: Sequence[Batch]) -> None:
    """Before anything of these is written: nobody forgets their owners until the transaction ends."""
    await connection.execute(_HOLD, ([batch[0].user_id for batch in batches],))


async def hold_owner(connection: Connection, user_id: str) -> None:
    """The same for one of whom nothing waits."""
    await connection.execute(_HOLD, ([user_id],))


async def settle(connection: Connection, batch: Batch) -> bool:
    """Mark as done in the transaction that saves the memories; False if the batch is not all ours any more."""
    return bool(await _rows(connection, "outbox_settle", _own(batch)))


async def postpone(
    connection: Connection, batch: Batch, *, pause_s: float, attempts_together: int, attempts_max: int, error: str
) -> None:
    """Try again after a pause, or give up for good where it was tried often enough."""
    parameters = {
        "pause_s": pause_s,
        "attempts_together": attempts_together,
        "attempts_max": attempts_max,
        "error": error,
    }
    await connection.execute(statement("outbox_postpone"), _own(batch) | parameters)


async def dead(connection: Connection, *, user_id: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """What was given up, the oldest first; of everybody where no owner is named."""
    rows = await _rows(connection, "outbox_dead", {"user_id": user_id, "limit": limit})
    return [DeadLetter(_entry(row), row["error"] or "", row["created_at"]) for row in rows]


async def replay(connection: Connection, *, user_id: str | None = None, key: str | None = None) -> int:
    """Begin anew with what was given up: one entry, an owner's, or everybody's. Returns how many there were."""
    cursor = await connection.execute(statement("outbox_replay"), {"user_id": user_id, "key": key})
    return cursor.rowcount


async def unsaved(connection: Connection, scope: Scope, *, limit: int) -> list[OutboxEntry]:
    """What this owner said that is no memory yet, the newest first."""
    agents = [scope.agent_id, *scope.also_agents]
    parameters = {"user_id": scope.user_id, "agent_id": scope.agent_id, "agents": agents, "limit": limit}
    return [_entry(row) for row in await _rows(connection, "outbox_unsaved", parameters)]


async def forget(connection: Connection, scope: Scope, *, key: str | None = None) -> int:
    """One entry, or all in scope. Returns how many there were."""
    parameters = {"user_id": scope.user_id, "agent_id": scope.agent_id, "key": key}
    cursor = await connection.execute(statement("outbox_forget"), parameters)
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


def _own(batch: Batch) -> dict[str, Any]:
    return {"user_id": batch[0].user_id, "keys": [entry.key for entry in batch], "attempts": batch[0].attempts}


def _entry(row: DictRow) -> OutboxEntry:
    return OutboxEntry(
        row["user_id"],
        row["key"],
        row["agent_id"],
        row["session_id"],
        from_json(row["messages"], row.get("images")),
        row["attempts"],
        Wishes.from_text(row["instruction"]),
    )

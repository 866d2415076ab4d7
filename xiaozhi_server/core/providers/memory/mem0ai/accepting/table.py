"""Accepted writes in PostgreSQL. Knows how they are put in, claimed, settled, postponed and replayed; nothing else."""

import json
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ..errors import ForgottenMeanwhileError
from ..statements import statement
from .accepted import Accepted, DeadWrite, JournalFullError

Connection = AsyncConnection[Any]

_WAITING = "SELECT count(*) AS writes FROM memory_accepted WHERE state = 'waiting'"
_FORGET_PERSON = "DELETE FROM memory_accepted WHERE user_id = %(user_id)s"


async def put(
    connection: Connection, writes: Sequence[Accepted], *, limit: int
) -> list[Accepted | JournalFullError | ForgottenMeanwhileError]:
    """Each as it was accepted, or why it was not: its owner was forgotten at this very moment, or `limit` wait."""
    offered = {
        "owners": [write.user_id for write in writes],
        "ids": [write.id for write in writes],
        "operations": [write.operation for write in writes],
        "arguments": [json.dumps(write.arguments, ensure_ascii=False) for write in writes],
        "limit": limit,
    }
    rows = await _rows(connection, statement("accepted_put"), offered)
    return [_taken(write, row, limit) for write, row in zip(writes, rows, strict=True)]


async def waiting(connection: Connection) -> int:
    (row,) = await _rows(connection, _WAITING.encode(), {})
    return int(row["writes"])


async def claim(connection: Connection, *, limit: int, lease_s: float) -> list[Accepted]:
    """The next write of each owner, ours for `lease_s` seconds. A worker that dies gives them back that way."""
    rows = await _rows(connection, statement("accepted_claim"), {"limit": limit, "lease_s": lease_s})
    return sorted(map(_accepted, rows), key=lambda write: write.accepted_at)


async def settle(connection: Connection, write: Accepted) -> bool:
    """Done; False if it is not ours any more."""
    return bool((await connection.execute(statement("accepted_settle"), _own(write))).rowcount)


async def renew(connection: Connection, writes: Sequence[Accepted], *, lease_s: float) -> None:
    ours = {
        "owners": [write.user_id for write in writes],
        "ids": [write.id for write in writes],
        "attempts": [write.attempts for write in writes],
        "lease_s": lease_s,
    }
    await connection.execute(statement("accepted_renew"), ours)


async def move(
    connection: Connection,
    write: Accepted,
    *,
    pause_s: float = 0.0,
    state: Literal["waiting", "dead"] = "waiting",
    error: str | None = None,
) -> None:
    """It comes again after the pause, or is given up. Without an error it was broken off: that is no attempt."""
    moved = {"pause_s": pause_s, "state": state, "error": error}
    await connection.execute(statement("accepted_move"), _own(write) | moved)


async def dead(connection: Connection, *, user_id: str | None, limit: int) -> list[DeadWrite]:
    rows = await _rows(connection, statement("accepted_dead"), {"user_id": user_id, "limit": limit})
    return [DeadWrite(_accepted(row), row["error"]) for row in rows]


async def replay(connection: Connection, *, user_id: str | None, id: UUID | None) -> int:
    return (await connection.execute(statement("accepted_replay"), {"user_id": user_id, "id": id})).rowcount


async def forget(
    connection: Connection, user_id: str, *, agent_id: str | None, run_id: str | None, before: UUID | None = None
) -> int:
    """What was to be added in this scope, by now or before another write was accepted."""
    scope = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id, "before": before}
    return (await connection.execute(statement("accepted_forget"), scope)).rowcount


async def overtake(connection: Connection, write: Accepted) -> int:
    """Older texts for the same memory that were given up."""
    same = {"user_id": write.user_id, "id": write.id, "memory_id": write.arguments["id"]}
    return (await connection.execute(statement("accepted_overtake"), same)).rowcount


async def forget_person(connection: Connection, user_id: str) -> int:
    return (await connection.execute(_FORGET_PERSON, {"user_id": user_id})).rowcount


def _taken(write: Accepted, row: DictRow, limit: int) -> Accepted | JournalFullError | ForgottenMeanwhileError:
    if row["accepted_at"] is not None:
        return Accepted(write.id, write.operation, write.user_id, write.arguments, row["accepted_at"])
    return JournalFullError(f"{limit} writes are not done yet") if row["is_full"] else ForgottenMeanwhileError()


async def _rows(connection: Connection, text: bytes, parameters: dict[str, Any]) -> Sequence[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(text, parameters)
        return await cursor.fetchall()


def _own(write: Accepted) -> dict[str, Any]:
    return {"user_id": write.user_id, "id": write.id, "attempts": write.attempts}


def _accepted(row: DictRow) -> Accepted:
    return Accepted(row["id"], row["operation"], row["user_id"], row["arguments"], row["accepted_at"], row["attempts"])

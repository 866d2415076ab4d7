"""What is known of entries on their way to the platform: under which name they were sent, and what came back."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ..message import from_json
from ..saving.outbox import Batch, OutboxEntry
from ..statements import statement
from .doubts import Worked

Connection = AsyncConnection[Any]

_NAMESPACE = uuid.UUID("a8a0e1a4-4d4b-4a3e-8d4b-4f1f0a5ad4c1")


@dataclass(frozen=True, slots=True)
class Send:
    """A request that was about to leave, `age_s` seconds ago; an empty `event_id`: nobody knows whether it arrived."""

    send_id: str
    attempt: str
    event_id: str
    age_s: float
    keys: frozenset[str]


def send_id_of(entries: Sequence[OutboxEntry]) -> str:
    """The same entries are sent under the same name for ever."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([entries[0].user_id, *(entry.key for entry in entries)])))


async def sends_of(connection: Connection, batch: Batch) -> list[Send]:
    """What was sent of these entries before; they may have gone together or one by one."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("platform_sends"), _keys(batch))
        rows = await cursor.fetchall()
    latest = {row["send_id"]: row for row in rows}
    return [
        Send(
            send_id,
            row["attempt"],
            row["event_id"],
            row["age_s"],
            frozenset(other["key"] for other in rows if other["send_id"] == send_id),
        )
        for send_id, row in latest.items()
    ]


async def begin(connection: Connection, entries: Sequence[OutboxEntry], send_id: str, attempt: str) -> bool:
    """False if they are not all ours any more: then nothing may be sent."""
    names = {"send_id": send_id, "attempt": attempt, "attempts": entries[0].attempts}
    cursor = await connection.execute(statement("platform_begin"), _keys(entries) | names)
    return cursor.rowcount == len(entries)


async def accepted(connection: Connection, user_id: str, worked: Worked, event_id: str) -> None:
    await connection.execute(statement("platform_accepted"), _names(user_id, worked) | {"event_id": event_id})


async def unsent(connection: Connection, user_id: str, worked: Worked) -> None:
    """It is certain that nothing came of it."""
    await connection.execute(statement("platform_unsent"), _names(user_id, worked))


async def settle(connection: Connection, batch: Batch) -> None:
    await connection.execute(statement("platform_settle"), _keys(batch))


def entry_of(row: DictRow) -> OutboxEntry:
    """An entry as it lies in the outbox, for reading it; nobody has taken it."""
    return OutboxEntry(row["user_id"], row["key"], row["agent_id"], row["session_id"], from_json(row["messages"]))


def _keys(entries: Sequence[OutboxEntry]) -> dict[str, Any]:
    return {"user_id": entries[0].user_id, "keys": [entry.key for entry in entries]}


def _names(user_id: str, worked: Worked) -> dict[str, Any]:
    return {"user_id": user_id, "send_id": worked.send_id, "attempt": worked.attempt}

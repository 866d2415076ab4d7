"""Forgets a person: every row of theirs in every table of ours, whatever is being written at this very moment.

Who adds something holds its owner until it is committed (see migrations/0011_forgotten.sql). Whoever forgets waits for
that, and what was said until then is refused from then on.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..errors import MemoryInputError
from ..finding import large_indexes
from ..finding.changes import connect_like
from ..forgotten import MARK
from ..rows import summaries
from ..statements import statement

Connection = AsyncConnection[Any]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]

_ATTEMPTS = 4
_PAUSE_S = 0.2
_LIMITS = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'"
_PATIENTLY = "SET statement_timeout = 0; SET lock_timeout = '600s'"
_HOLD = "SELECT memory_hold_alone(%(user_id)s)"
# The moment at which nobody writes any more.
_REMEMBER = """
INSERT INTO memory_forgotten (owner, forgotten_at) VALUES (memory_owner(%(user_id)s), clock_timestamp())
ON CONFLICT (owner) DO UPDATE SET forgotten_at = excluded.forgotten_at
"""
_TELL = "SELECT pg_notify('memory_changed', left(%(user_id)s, 1000) || E'\\t' || %(mark)s)"
# What waits comes first, then what others refer to. The history follows the memories: who deletes one of them at the
# same time leaves its text there.
_FIRST = ("memory_outbox", "memory_accepted", "memory_entry", "memory_thing")


class StillTalkingError(MemoryInputError):
    """Somebody writes without end; nothing was forgotten."""

    def __init__(self) -> None:
        super().__init__("nothing was forgotten: a transaction holds this person's memories for too long; try again")


@dataclass(frozen=True, slots=True)
class _Table:
    """A table with rows of single owners, and the condition for one of them."""

    name: sql.Identifier
    shown: str
    condition: sql.SQL


async def forget(connect: Connect, user_id: str) -> Mapping[str, int]:
    """How many rows of which table there were. All of it is gone at the same moment."""
    for attempt in range(_ATTEMPTS):
        try:
            async with connect() as connection, connection.transaction():
                removed = await _removed(connection, user_id)
            break
        except (DeadlockDetected, LockNotAvailable):
            await asyncio.sleep(_PAUSE_S * 2**attempt)
    else:
        raise StillTalkingError
    return removed


async def present(connection: Connection, user_id: str) -> Mapping[str, int]:
    """How many rows of this person each table has; those without any are left out."""
    counts = {table.shown: await _count(connection, table, user_id) for table in await _tables(connection)}
    return {name: count for name, count in counts.items() if count}


async def persons(connection: Connection, household: str) -> list[str]:
    """The owners that are persons of this household."""
    tables = [table for table in await _tables(connection) if table.shown.startswith("memory_")]
    each = [
        sql.SQL("SELECT user_id FROM {} WHERE starts_with(user_id, %(prefix)s)").format(table.name) for table in tables
    ]
    query = sql.SQL(" UNION ").join(each) + sql.SQL(" ORDER BY 1")
    cursor = await connection.execute(query, {"prefix": f"{household}/person:"})
    return [next(iter(row.values())) if isinstance(row, dict) else row[0] for row in await cursor.fetchall()]


async def drop_indexes(pool: AsyncConnectionPool[Any], user_id: str) -> None:
    """Those that a large memory had: their definitions name the person. One that is being built is waited for."""
    async with await connect_like(pool) as connection:
        await connection.execute(_PATIENTLY)
        async with connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("SELECT id FROM memory_embedder")
            numbers = [row["id"] for row in await cursor.fetchall()]
        await large_indexes.drop_of(connection, user_id, numbers)


async def _removed(connection: Connection, user_id: str) -> Mapping[str, int]:
    person = {"user_id": user_id, "mark": MARK}
    await connection.execute(_LIMITS)
    await summaries.lock(connection, user_id)  # before the owner: whoever writes a summary takes them in this order
    await connection.execute(_HOLD, person)
    await connection.execute(_REMEMBER, person)
    tables = await _tables(connection)
    # Some rows go with those that they belong to, and are not told any more when their own table's turn comes.
    removed = {table.shown: await _count(connection, table, user_id) for table in tables}
    for table in tables:
        delete = sql.SQL("DELETE FROM {} WHERE {}").format(table.name, table.condition)
        count = (await connection.execute(delete, person)).rowcount
        removed[table.shown] = max(removed[table.shown], count)
    await connection.execute(_TELL, person)
    return {name: count for name, count in removed.items() if count}


async def _tables(connection: Connection) -> Sequence[_Table]:
    """Ours with an owner in each row, and those of mem0 in this database."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("forget_tables"))
        rows = await cursor.fetchall()
    tables = [
        _Table(
            sql.Identifier(row["name"]),
            row["name"],
            sql.SQL("user_id = %(user_id)s" if row["is_ours"] else "payload ->> 'user_id' = %(user_id)s"),
        )
        for row in rows
    ]
    order = {name: place for place, name in enumerate(_FIRST)}
    return sorted(tables, key=lambda table: (order.get(table.shown, len(_FIRST)), table.shown))


async def _count(connection: Connection, table: _Table, user_id: str) -> int:
    query = sql.SQL("SELECT count(*) AS rows FROM {} WHERE {}").format(table.name, table.condition)
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, {"user_id": user_id})
        (row,) = await cursor.fetchall()
    return int(row["rows"])

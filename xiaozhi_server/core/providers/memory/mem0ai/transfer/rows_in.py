"""Writes what was read into the tables: each call is one transaction, and says what became of the rows."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from ..records import NewMemory, StoredMemory
from ..rows import bulk
from ..statements import statement
from .items import Fact, Kind, RowItem

Pool = AsyncConnectionPool[Any]

# One import writes at a time. What it brings is older than whatever was said since its owner was forgotten: it is taken
# nevertheless.
_BEGIN = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = '600s';
SET LOCAL memory.restoring = 'on';
SELECT pg_advisory_xact_lock(hashtextextended('memory_import', 0))
"""
_HOLD = "SELECT memory_hold(%s)"
_STAGE = "CREATE TEMPORARY TABLE memory_import (LIKE memory_entry INCLUDING DEFAULTS) ON COMMIT DROP"
_UNSTAGE = "DROP TABLE memory_import"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of rows; `unfit` are the numbers of lines that name what is not there."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    unfit: Sequence[int] = ()


class RowsIn:
    """With a connection that is given all of it happens in that one's transaction."""

    def __init__(self, pool: Pool, connection: AsyncConnection[Any] | None, embedder_number: int) -> None:
        self._pool = pool
        self._connection = connection
        self._number = embedder_number
        # Things that have another id here than in the file. A thing is known by its name.
        self._twins: dict[tuple[str, str], str] = {}

    async def known(self, memories: Sequence[StoredMemory]) -> Mapping[tuple[str, UUID], datetime]:
        """Which of these are there, and when each was written."""
        named = {"user_ids": [one.user_id for one in memories], "ids": [one.id for one in memories]}
        async with self._transaction([]) as connection:
            rows = await _rows(connection, "import_known", named)
        return {(row["user_id"], row["id"]): row["updated_at"] for row in rows}

    async def memories(self, memories: Sequence[NewMemory]) -> Outcome:
        async with self._transaction([new.memory.user_id for new in memories]) as connection:
            await connection.execute(_STAGE)
            await bulk.staged(connection, memories, self._number)
            await connection.execute(statement("import_replaced"))
            (row,) = await _rows(connection, "import_memory", {})
            await connection.execute(_UNSTAGE)
        return Outcome(row["added"], row["changed"])

    async def rows(self, kind: Kind, items: Sequence[RowItem]) -> Outcome:
        """Unless it is a memory."""
        rows = [{**self._with_twins(kind, item.row), "number": item.number} for item in items]
        async with self._transaction([item.row["user_id"] for item in items]) as connection:
            parameters = {"rows": json.dumps(rows)}
            (row,) = await _rows(connection, f"import_{kind}", parameters)
            if kind == "thing":
                for twin in await _rows(connection, "import_twins", parameters):
                    self._twins[twin["user_id"], str(twin["id"])] = str(twin["known_as"])
        unfit = row.get("unfit") or ()
        left = len(items) - row["added"] - row.get("changed", 0) - len(unfit)
        return Outcome(row["added"], row.get("changed", 0), left, unfit)

    async def notes(self, facts: Sequence[Fact]) -> Outcome:
        """Facts as lines of notes, those that are not among them yet."""
        outcome = Outcome()
        for owner in dict.fromkeys((fact.user_id, fact.agent_id) for fact in facts):
            some = [fact for fact in facts if (fact.user_id, fact.agent_id) == owner]
            added = await self._noted(*owner, some)
            outcome = replace(outcome, added=outcome.added + added, unchanged=outcome.unchanged + len(some) - added)
        return outcome

    async def _noted(self, user_id: str, agent_id: str, facts: Sequence[Fact]) -> int:
        owner = {"user_id": user_id, "agent_id": agent_id}
        async with self._transaction([user_id]) as connection:
            present = await _rows(connection, "summary_get", owner)
            text, version = (present[0]["text"], present[0]["version"]) if present else ("", 0)
            known = {line.partition("] ")[2].strip() for line in text.splitlines()}
            lines = {" ".join(fact.text.split()): fact.said_at for fact in facts}
            new = [f"[{said_at:%Y-%m-%d}] {fact}" for fact, said_at in lines.items() if fact not in known]
            if new:
                together = "\n".join([*filter(None, [text.rstrip()]), *new])
                await _rows(connection, "summary_put", {**owner, "text": together, "version": version})
        return len(new)

    def _with_twins(self, kind: Kind, row: Mapping[str, Any]) -> dict[str, Any]:
        owner = row["user_id"]
        named = {"link": ("thing_id",), "relation": ("subject", "object")}.get(kind, ())
        return {**row, **{name: self._twins.get((owner, row[name]), row[name]) for name in named}}

    @asynccontextmanager
    async def _transaction(self, owners: Sequence[str]) -> AsyncIterator[AsyncConnection[Any]]:
        if self._connection is not None:
            await self._begin(self._connection, owners)
            yield self._connection
            return
        async with self._pool.connection() as connection, connection.transaction():
            await self._begin(connection, owners)
            yield connection

    async def _begin(self, connection: AsyncConnection[Any], owners: Sequence[str]) -> None:
        if owners:
            await connection.execute(_BEGIN)
            await connection.execute(_HOLD, (list(owners),))


async def _rows(connection: AsyncConnection[Any], name: str, parameters: Mapping[str, Any]) -> Sequence[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()

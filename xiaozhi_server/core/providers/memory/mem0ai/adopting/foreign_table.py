"""A table that mem0's `pgvector` store has made, as mem0 1.x and 2.x leave it. It is only ever read, but for a
person who is to be forgotten.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Vectors
from ..errors import MemoryInputError
from ..statements import composed, statement

Pool = AsyncConnectionPool[Any]

ACCESS_LOG = "access_log"
CHECKPOINT = "checkpoint"

_ENTITIES = "_entities"
_LONGEST_NAME = 200
_SHAPE = {"id": "uuid", "payload": "jsonb"}


class NotAdoptableError(MemoryInputError):
    """There is no such table, or it is none of mem0's."""


@dataclass(frozen=True, slots=True)
class ForeignRow:
    """`vector` is None where it was not asked for, or there is none."""

    id: UUID
    payload: Any
    vector: Vectors | None


@dataclass(frozen=True, slots=True)
class Contents:
    """How much a table holds. `internal`: what mem0's plugin for Dify notes there for itself, by kind.

    `entities` is how many names mem0 2.x has taken down in the table beside it.
    """

    dimensions: int
    memories: int
    internal: dict[str, int]
    entities: int


class ForeignTable:
    """`name` is mem0's `collection_name`, with a schema before it where that is needed. The pool is the caller's."""

    def __init__(self, pool: Pool, name: str) -> None:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise NotAdoptableError("the name of a table is missing, too long or not printable")
        self.name = name
        self._pool = pool
        self._quoted = _quoted(name)

    async def dimensions(self) -> int:
        """Of its vectors. NotAdoptableError where it is no table of mem0's."""
        async with self._reading() as connection:
            types = await _columns(connection, self._quoted)
        if not types:
            raise NotAdoptableError(f"there is no table {self.name} (see collection_name and connection_string)")
        vector = types.get("vector", "").rpartition(".")[2]
        fits = all(types.get(name) == type for name, type in _SHAPE.items()) and vector.startswith("vector(")
        if not fits:
            raise NotAdoptableError(f"the table {self.name} was not made by mem0: it needs id, vector and payload")
        return int(vector.removeprefix("vector(").removesuffix(")"))

    async def contents(self) -> Contents:
        dimensions = await self.dimensions()
        beside = _quoted(f"{self.name}{_ENTITIES}")
        async with self._reading() as connection:
            rows = await _rows(connection, composed("adopt_count", table=self._quoted), {})
            entities = 0
            if await _columns(connection, beside):
                entities = sum(
                    row["records"] for row in await _rows(connection, composed("adopt_count", table=beside), {})
                )
        if any(row["is_linked"] for row in rows):
            raise NotAdoptableError(f"{self.name} holds mem0's entities: name the table without {_ENTITIES}")
        internal = {row["internal"]: row["records"] for row in rows if row["internal"] is not None}
        memories = sum(row["records"] for row in rows if row["internal"] is None)
        return Contents(dimensions, memories, dict(sorted(internal.items())), entities)

    async def memories(
        self, *, page: int, user_id: str | None = None, vectors: bool = False
    ) -> AsyncIterator[Sequence[ForeignRow]]:
        """All of them, or an owner's, page by page in the order of their ids."""
        async for rows in self._pages(page, user_id, vectors=vectors, internal_type=None):
            yield rows

    async def access_logs(self, *, page: int, user_id: str | None = None) -> AsyncIterator[Sequence[ForeignRow]]:
        async for rows in self._pages(page, user_id, vectors=False, internal_type=ACCESS_LOG):
            yield rows

    async def checkpoints(self, *, page: int, user_id: str | None = None) -> AsyncIterator[Sequence[ForeignRow]]:
        async for rows in self._pages(page, user_id, vectors=False, internal_type=CHECKPOINT):
            yield rows

    async def forget(self, user_id: str) -> int:
        """Leave nothing of a person in it, nor in the table of names beside it. Returns how many rows there were."""
        count = 0
        async with self._pool.connection() as connection, connection.transaction():
            for quoted in (self._quoted, _quoted(f"{self.name}{_ENTITIES}")):
                if await _columns(connection, quoted):
                    gone = await connection.execute(composed("adopt_forget", table=quoted), {"user_id": user_id})
                    count += gone.rowcount
        return count

    async def _pages(
        self, page: int, user_id: str | None, *, vectors: bool, internal_type: str | None
    ) -> AsyncIterator[Sequence[ForeignRow]]:
        text = composed("adopt_page", table=self._quoted, vector="vector::real[]" if vectors else "NULL::real[]")
        asked = {"user_id": user_id, "internal_type": internal_type, "limit": page}
        after: UUID | None = None
        while True:
            async with self._reading() as connection:
                rows = [_row(row) for row in await _rows(connection, text, {**asked, "after": after})]
            if rows:
                yield rows
            if len(rows) < page:
                return
            after = rows[-1].id

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection[Any]]:
        """The database itself sees to it that nothing is written."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION READ ONLY")
            yield connection


def _quoted(name: str) -> str:
    """As it may stand in a statement with parameters."""
    return sql.Identifier(*name.split(".")).as_string(None).replace("%", "%%")


async def _columns(connection: AsyncConnection[Any], quoted: str) -> dict[str, str]:
    found = await _rows(connection, statement("adopt_columns"), {"table": quoted.replace("%%", "%")})
    return {row["name"]: row["type"] for row in found}


async def _rows(connection: AsyncConnection[Any], text: bytes, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(text, parameters)
        return await cursor.fetchall()


def _row(row: dict[str, Any]) -> ForeignRow:
    vector = None if row["vector"] is None else np.array(row["vector"], np.float32)
    return ForeignRow(row["id"], row["payload"], vector)

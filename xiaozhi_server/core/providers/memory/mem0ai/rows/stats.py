"""How much there is, for whoever runs the server. Numbers and names of owners, never what somebody said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ..statements import statement

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """`embedders`: how many memories have a vector of each; without a name, those that have none.

    `large_owners` are those with so many memories that they have indexes of their own. Sizes are those on disk.
    """

    owners: int
    memories: int
    changes: int
    embedders: Mapping[str, int]
    large_owners: Sequence[str]
    entry_bytes: int
    history_bytes: int
    outbox_bytes: int


async def stats(connection: Connection) -> MemoryStats:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("stats"))
        (row,) = await cursor.fetchall()
    return MemoryStats(**row)


async def owners(connection: Connection, *, limit: int) -> list[str]:
    """Who has memories, in order."""
    cursor = await connection.execute(statement("owners"), {"limit": limit})
    return [row[0] for row in await cursor.fetchall()]

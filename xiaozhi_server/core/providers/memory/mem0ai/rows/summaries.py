"""Summaries and what they stand for: either the one is recalled or the others, and neither outlives what it tells."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from ..errors import NoSummaryError
from ..scope import Scope
from ..statements import statement
from .pgstore import rows_of

Connection = AsyncConnection[Any]

# A memory, with what it stands for where it is a summary.
AT_ONE = "(id = %(id)s OR compressed_into = %(id)s)"


async def lock(connection: Connection, user_id: str) -> None:
    """Until our transaction ends, nobody else writes a summary of this owner or takes away what it may tell.

    First of all: what a statement sees was there when it began.
    """
    await connection.execute(statement("summary_lock"), {"user_id": user_id})


async def restore(connection: Connection, scope: Scope, id: UUID) -> int:
    """Takes the summary away; how many are recalled again. A NoSummaryError if it stands for nothing."""
    await lock(connection, scope.user_id)
    (found,) = await rows_of(connection, "summary_sources", {"user_id": scope.user_id, "id": id})
    if not found["sources"]:
        raise NoSummaryError
    return await dissolve(connection, scope.user_id, [id])


async def dissolve(connection: Connection, user_id: str, summaries: Sequence[UUID]) -> int:
    if not summaries:
        return 0
    parameters = {"user_id": user_id, "summaries": list(summaries)}
    (row,) = await rows_of(connection, "summary_dissolve", parameters)
    return int(row["restored"])

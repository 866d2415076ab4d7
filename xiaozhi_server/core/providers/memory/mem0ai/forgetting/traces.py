"""What recalls left behind in memories, in the table of the memories themselves."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..statements import statement
from .retention import EARLIEST, Trace
from .uses import Recalls, TracesAwayError, trace_after

Pool = AsyncConnectionPool[Any]


class Traces:
    """The pool belongs to the caller."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, user_id: str, recalls: Recalls) -> None:
        try:
            async with self._pool.connection() as connection:
                await write(connection, user_id, recalls)
        except (OperationalError, PoolTimeout) as error:
            raise TracesAwayError(type(error).__name__) from None


async def write(connection: AsyncConnection[Any], user_id: str, recalls: Recalls) -> None:
    """One owner's, in one transaction. What is no memory (any more) has no trace. Of a recall that fitted badly only
    its time is kept.
    """
    async with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        last = max(recall.at for some in recalls.values() for recall in some)
        asked = {"user_id": user_id, "ids": list(recalls), "earliest": EARLIEST, "latest": last}
        await cursor.execute(statement("access_lock"), asked)
        traces: dict[UUID, Trace] = {}
        used: list[datetime] = []
        for row in await cursor.fetchall():
            some, known = recalls[row["id"]], row["used_at"]
            traces[row["id"]] = trace_after(Trace(row["accessed_at"], row["access_count"], row["quality"]), some)
            latest = max(recall.at for recall in some)
            used.append(latest if known is None else max(known, latest))
        if not traces:
            return
        written = {
            "user_id": user_id,
            "ids": list(traces),
            "accessed_at": [trace.last_recalled_at for trace in traces.values()],
            "access_count": [trace.recall_count for trace in traces.values()],
            "quality": [trace.quality_ema for trace in traces.values()],
            "used_at": used,
        }
        await cursor.execute(statement("access_write"), written)

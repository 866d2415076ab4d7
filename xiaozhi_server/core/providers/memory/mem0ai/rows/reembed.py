"""After a change of the embedder: gives every memory a vector of the new one, batch by batch, while all goes on."""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Embedder
from ..statements import statement
from .halfvec import HalfVector
from .pgstore import reading

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_BATCH = 128
_FOREIGN = (
    "memory: there are memories with vectors of another embedder: they are found by their words alone until"
    " `python -m xiaozhi_server memory reembed` has been run"
)


async def warn_of_foreign(pool: Pool, embedder_number: int) -> None:
    """Say so if the embedder was changed and somebody's memories still have vectors of another one. Never fails."""
    try:
        async with reading(pool) as connection:
            (row,) = await _rows(connection, "entry_foreign", {"embedder": embedder_number})
    except (Error, OSError) as error:
        logger.debug("memory: not known whether there are vectors of another embedder (%s)", type(error).__name__)
        return
    if row["is_there"]:
        logger.warning(_FOREIGN)


async def outdated(connection: AsyncConnection[Any], embedder_number: int) -> Mapping[str, int]:
    """How many memories have a vector of each other embedder (an empty name: none at all)."""
    rows = await _rows(connection, "entry_outdated_count", {"embedder": embedder_number})
    return {row["name"]: row["entries"] for row in rows}


async def reembed(
    pool: Pool,
    embedder: Embedder,
    embedder_number: int,
    *,
    changed: Callable[[str], None],
    progress: Callable[[int], None],
) -> int:
    """How many were done. It may be broken off at any time: the next run goes on with what is left."""
    after: tuple[str, uuid.UUID] = ("", uuid.UUID(int=0))
    done = 0
    while True:
        async with pool.connection() as connection:
            place = {"embedder": embedder_number, "after_user": after[0], "after_id": after[1], "limit": _BATCH}
            rows = await _rows(connection, "entry_outdated", place)
        if not rows:
            return done
        vectors = await embedder.embed([row["text"] for row in rows])
        async with pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(
                statement("entry_reembed"),
                [
                    {**row, "embedder": embedder_number, "embedding": HalfVector(vector)}
                    for row, vector in zip(rows, vectors, strict=True)
                ],
            )
        for user_id in {row["user_id"] for row in rows}:
            changed(user_id)
        after = (rows[-1]["user_id"], rows[-1]["id"])
        done += len(rows)
        progress(done)


async def _rows(connection: AsyncConnection[Any], name: str, parameters: Mapping[str, Any]) -> Sequence[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()

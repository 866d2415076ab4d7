"""Builds and drops the indexes that a single owner has in the database. Only ever called by whoever holds the lock."""

import hashlib
import logging
from collections.abc import Collection
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from ..statements import statement
from .owner_load import Source

logger = logging.getLogger(__name__)

_DIMENSIONS_MAX = 4000  # of a graph in pgvector; vectors that are longer are compared one by one

Connection = AsyncConnection[Any]

# Building may take minutes, and a graph that does not fit into memory takes hours. No other worker helps: a container
# has little of the shared memory that it would need.
_SETTINGS = "SET statement_timeout = 0; SET maintenance_work_mem = '256MB'; SET max_parallel_maintenance_workers = 0"


def names(user_id: str, source: Source) -> tuple[str, str]:
    """What this owner's indexes are called: by meaning, and by words."""
    return f"memory_near_{_digest(f'{source.embedder} {user_id}')}", f"memory_words_{_digest(user_id)}"


async def build(connection: Connection, user_id: str, source: Source) -> None:
    """Make sure that both are there. The connection must not be in a transaction."""
    await connection.execute(_SETTINGS)
    found = await _found(connection)
    near, words = names(user_id, source)
    # Without a list of what is not sorted in yet: every search would have to read it.
    by_words = sql.SQL("gin (words) WITH (fastupdate = off) WHERE user_id = {}")
    by_meaning = sql.SQL(
        "hnsw ((embedding::halfvec({})) halfvec_cosine_ops) WHERE user_id = {} AND embedder = {}::smallint"
    )
    owner, number, dimensions = (sql.Literal(value) for value in (user_id, source.embedder, source.dimensions))
    await _build_one(connection, words, found, by_words.format(owner))
    if source.dimensions <= _DIMENSIONS_MAX:
        await _build_one(connection, near, found, by_meaning.format(dimensions, owner, number))


async def _build_one(connection: Connection, name: str, found: dict[str, bool], definition: sql.Composed) -> None:
    if found.get(name):
        return
    if name in found:
        await drop(connection, [name])
    create = sql.SQL("CREATE INDEX CONCURRENTLY {} ON memory_entry USING ").format(sql.Identifier(name))
    await connection.execute(create + definition)
    logger.info("memory: built %s", name)


async def drop(connection: Connection, names: Collection[str]) -> None:
    for name in names:
        await connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))
        logger.info("memory: dropped %s", name)


async def drop_of(connection: Connection, user_id: str, embedders: Collection[int]) -> None:
    """Drop this owner's, whichever of these embedders they were made for."""
    near = {f"memory_near_{_digest(f'{number} {user_id}')}" for number in embedders}
    await drop(connection, sorted((near | {f"memory_words_{_digest(user_id)}"}) & (await _found(connection)).keys()))


async def drop_others(connection: Connection, wanted: Collection[str]) -> None:
    """Drop what belongs to nobody any more: the owner was forgotten, or the embedder is another one now."""
    await drop(connection, [name for name in await _found(connection) if name not in wanted])


async def _found(connection: Connection) -> dict[str, bool]:
    """All such indexes, and whether they are complete: one that could not be built remains as a ruin."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("large_indexes"))
        return {row["name"]: row["valid"] for row in await cursor.fetchall()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

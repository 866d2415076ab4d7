"""The rows of memory in PostgreSQL. Every statement names its owner; nothing here decides what is a good answer."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Embedder
from ..records import NewMemory, StoredMemory
from ..statements import statement
from . import bulk
from .halfvec import HalfVector

Connection = AsyncConnection[Any]

_MANY = 16  # rows from which on COPY is quicker


@asynccontextmanager
async def reading(pool: AsyncConnectionPool[Any]) -> AsyncIterator[Connection]:
    """A connection for single statements: without a transaction around them they take a third of the round trips."""
    async with pool.connection() as connection:
        if connection.autocommit:
            yield connection
            return
        await connection.set_autocommit(True)
        try:
            yield connection
        finally:
            # One that was broken off is thrown away by the pool.
            if connection.info.transaction_status == TransactionStatus.IDLE:
                await connection.set_autocommit(False)


async def embedder_number(connection: Connection, embedder: Embedder) -> int:
    """The number under which this embedder's vectors are kept; made at the first time."""
    parameters = {"name": embedder.name, "dimensions": embedder.dimensions}
    await connection.execute(statement("embedder_add"), parameters)
    (row,) = await rows_of(connection, "embedder_id", parameters)
    return int(row["id"])


async def insert(connection: Connection, memories: Sequence[NewMemory], embedder: int) -> None:
    """Add rows; one that is there already stays as it is."""
    if len(memories) >= _MANY and await bulk.copied(connection, memories, embedder):
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(statement("entry_insert"), [_parameters(memory, embedder) for memory in memories])


async def insert_unembedded(connection: Connection, memories: Sequence[tuple[StoredMemory, Sequence[int]]]) -> None:
    """The same with only the words of each: until it has a vector it is found by these."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            statement("entry_insert"), [_columns(memory, tokens, None, None) for memory, tokens in memories]
        )


async def rows_of(connection: Connection, name: str, parameters: Mapping[str, Any]) -> Sequence[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name), parameters)
        return await cursor.fetchall()


def _parameters(new: NewMemory, embedder: int) -> dict[str, Any]:
    return _columns(new.memory, new.tokens, embedder, HalfVector(new.vector))


def _columns(
    memory: StoredMemory, tokens: Sequence[int], embedder: int | None, embedding: HalfVector | None
) -> dict[str, Any]:
    return {
        "user_id": memory.user_id,
        "id": memory.id,
        "agent_id": memory.agent_id,
        "run_id": memory.run_id,
        "session_id": memory.session_id,
        "role": memory.role,
        "speaker": memory.speaker,
        "text": memory.text,
        "metadata": None if memory.metadata is None else Json(memory.metadata),
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
        "subtype": memory.subtype,
        "flag": memory.flag,
        "position": memory.position,
        "valid_from": memory.valid_from,
        "expires_at": memory.expires_at,
        "words": list(tokens),
        "embedder": embedder,
        "embedding": embedding,
    }


def memory_of(row: DictRow) -> StoredMemory:
    return StoredMemory(
        id=row["id"],
        user_id=row["user_id"],
        agent_id=row["agent_id"],
        run_id=row["run_id"],
        session_id=row["session_id"],
        role=row["role"],
        speaker=row["speaker"],
        text=row["text"],
        metadata=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        subtype=row["subtype"],
        flag=row["flag"],
        position=row["position"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        superseded_by=row["superseded_by"],
        expires_at=row["expires_at"],
        accessed_at=row["accessed_at"],
        access_count=row["access_count"],
        pinned=row["pinned"],
        quality=row["quality"],
        compressed_into=row["compressed_into"],
        used_at=row.get("used_at"),
    )

"""Brings rows of mem0's over into our table, each once and for ever, however often it is tried and by how many."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import AsyncConnection
from psycopg.rows import tuple_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from ..embedding.embed import Embedder, Vectors
from ..recall.words import tokens_of
from ..records import NewMemory, StoredMemory
from ..rows import pgstore
from ..rows.halfvec import HalfVector
from ..scope import Scope
from ..statements import statement
from .access_log import Access
from .checkpoints import ForeignCheckpoint

Connection = AsyncConnection[Any]
Pool = AsyncConnectionPool[Any]

_EMBEDDED_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Arrival:
    """A memory with the vector that mem0 had for it, where that is one of our embedder's."""

    memory: StoredMemory
    vector: Vectors | None


class Taker:
    """`embedder_number` is the one under which the embedder's vectors are kept. `changed` is told whose memories are
    new, once they can be found.
    """

    def __init__(
        self,
        pool: Pool,
        embedder: Embedder,
        embedder_number: int,
        executor: Executor,
        changed: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._embedder = embedder
        self._number = embedder_number
        self._executor = executor
        self._changed = changed

    async def known(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those that came over before, whatever has become of them."""
        async with self._pool.connection() as connection:
            return await _ids(connection, "adopt_known", ids)

    async def take(self, arrivals: Sequence[Arrival], *, embed: bool) -> int:
        """How many are new. Without `embed` those that bring no vector are found by their words until they get one."""
        known = await self.known([one.memory.id for one in arrivals])
        left = [one for one in arrivals if one.memory.id not in known]
        if not left:
            return 0
        vectors = await self._vectors(left) if embed else [one.vector for one in left]
        memories = [one.memory for one in left]
        tokens = await self._tokens([memory.text for memory in memories])
        async with self._pool.connection() as connection, connection.transaction():
            ours = await _ids(connection, "adopt_claim", [memory.id for memory in memories])
            rows = [row for row in zip(memories, tokens, vectors, strict=True) if row[0].id in ours]
            await pgstore.insert(connection, [NewMemory(m, t, v) for m, t, v in rows if v is not None], self._number)
            await pgstore.insert_unembedded(connection, [(m, t) for m, t, v in rows if v is None])
        for user_id in {memory.user_id for memory, _, _ in rows}:
            self._changed(user_id)
        return len(rows)

    async def embed_owner(self, scope: Scope) -> int:
        """Give an owner's memories that have none a vector. Returns how many."""
        done = 0
        while texts := await self._unembedded(scope):
            vectors = await self._embedder.embed([text["text"] for text in texts])
            changes = [
                {**text, "embedder": self._number, "embedding": HalfVector(vector)}
                for text, vector in zip(texts, vectors, strict=True)
            ]
            async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
                await cursor.executemany(statement("entry_reembed"), changes)
            self._changed(scope.user_id)
            done += len(texts)
        return done

    async def note_accesses(self, user_id: str, accesses: Iterable[Access]) -> int:
        """Of memories of this owner; of how many something was noted."""
        noted = [
            {
                "user_id": user_id,
                "id": one.memory_id,
                "accessed_at": one.accessed_at,
                "access_count": one.access_count,
                "quality": one.quality,
            }
            for one in accesses
        ]
        if not noted:
            return 0
        async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(statement("adopt_access"), noted)
            return int(cursor.rowcount)

    async def take_checkpoints(self, checkpoints: Sequence[ForeignCheckpoint]) -> int:
        """The newest first. One of ours stays as it is; none comes twice, also where it was deleted here."""
        if not checkpoints:
            return 0
        taken = 0
        owners = list({one.user_id for one in checkpoints})
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT memory_hold(%s::text[])", (owners,))
            ours = await _ids(connection, "adopt_claim", [one.id for one in checkpoints])
            for one in checkpoints:
                if one.id not in ours:
                    continue
                told = {"user_id": one.user_id, "app_id": one.app_id, "value": Json(dict(one.value))}
                cursor = await connection.execute(
                    statement("extraction_checkpoint_adopt"), {**told, "updated_at": one.updated_at}
                )
                taken += cursor.rowcount
        return taken

    async def _vectors(self, arrivals: Sequence[Arrival]) -> list[Vectors]:
        missing = [one.memory.text for one in arrivals if one.vector is None]
        made = iter(await self._embedded(missing))
        return [next(made) if one.vector is None else one.vector for one in arrivals]

    async def _embedded(self, texts: Sequence[str]) -> list[Vectors]:
        parts = [texts[at : at + _EMBEDDED_AT_ONCE] for at in range(0, len(texts), _EMBEDDED_AT_ONCE)]
        return [vector for part in parts for vector in await self._embedder.embed(part)]

    async def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: [tokens_of(text) for text in texts])

    async def _unembedded(self, scope: Scope) -> Sequence[Mapping[str, Any]]:
        parameters = {"user_id": scope.user_id, "limit": _EMBEDDED_AT_ONCE}
        async with self._pool.connection() as connection:
            return await pgstore.rows_of(connection, "adopt_unembedded", parameters)


async def _ids(connection: Connection, name: str, ids: Sequence[UUID]) -> set[UUID]:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement(name), {"ids": list(ids)})
        return {id for (id,) in await cursor.fetchall()}


def fitting(vector: Vectors | None, dimensions: int) -> Vectors | None:
    """The vector, if it can be one of an embedder's with so many dimensions."""
    is_one = vector is not None and vector.shape == (dimensions,) and bool(np.isfinite(vector).all())
    return vector if is_one else None

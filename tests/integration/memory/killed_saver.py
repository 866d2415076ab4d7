"""A process that saves one fact and is killed at the step that its argument names. Started by test_memory_kill.py."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine, pgstore
from xiaozhi_server.core.providers.memory.mem0ai.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

FACT = "My favourite colour is teal."


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingEmbedder(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        if FACT in texts:
            die()
        return await super().embed(texts)


def die_after_insert() -> None:
    insert = pgstore.insert

    async def insert_and_die(connection: Any, memories: Any, embedder: int) -> None:
        await insert(connection, memories, embedder)
        die()

    pgstore.insert = insert_and_die


async def main(dsn: str, step: str) -> None:
    embedder = DyingEmbedder() if step == "claimed" else WordEmbedder()
    if step == "inserted":
        die_after_insert()
    options = EngineOptions(drain=DrainOptions(lease_s=1.0))
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        engine = MemoryEngine(pool, embedder, ThreadPoolExecutor(1), options)
        await engine.start()
        async with pool.connection() as connection:
            message = SpokenMessage("user", FACT, datetime(2026, 11, 20, tzinfo=UTC))
            await engine.enqueue([message], user_id="ann", agent_id="bot", key="turn-1", transaction=connection)
            if step == "put":
                die()
        if step == "committed":
            die()
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)
        die()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))

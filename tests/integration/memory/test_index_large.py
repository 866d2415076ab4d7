"""An owner with a great many memories: indexes of its own, built once, dropped when they are not needed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.test_index import QUESTIONS, assert_same, fill
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine, SearchOptions

Pool = AsyncConnectionPool[AsyncConnection[Any]]
LARGE = EngineOptions(search=SearchOptions(index_rows_max=100))
EXACT = EngineOptions(search=SearchOptions(index_cache_mb=0, index_page=0))


async def indexes(pool: Pool) -> list[tuple[str, bool]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE indrelid = 'memory_entry'::regclass AND relname ~ 'near|words' ORDER BY relname"
        )
        return list(await cursor.fetchall())


async def until(true: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await true():
            await asyncio.sleep(0.02)


async def is_large(engine: MemoryEngine, pool: Pool) -> bool:
    """Asks, so that the engine notices."""
    await engine.search("tea", user_id="ann")
    return engine._searcher is not None and engine._searcher._large.ready("ann")


async def test_a_large_owner_gets_indexes_and_the_same_answers(start_engine: Any, pool: Pool) -> None:
    async with start_engine(None, LARGE) as engine, start_engine(None, EXACT) as exact:
        await fill(engine, random.Random(1), "ann", sessions=120)
        await fill(engine, random.Random(2), "bob", sessions=4)
        await until(lambda: is_large(engine, pool))
        assert [valid for _, valid in await indexes(pool)] == [True, True]
        for _ in range(3):
            for question in QUESTIONS:
                ways = [await way.search(question, user_id="ann", top_k=3) for way in (engine, exact)]
                assert_same(*ways)
                # How rare a word is was counted over all that the owner has, whatever part of it is asked for.
                for asked in ({"agent_id": "bot"}, {"filters": {"kind": "fact"}}):
                    ways = [await way.search(question, user_id="ann", top_k=10, **asked) for way in (engine, exact)]
                    best, same = [[one.memory.id for one in way] for way in ways]
                    assert best[0] in same[:2]
                    assert all(one.memory.agent_id == "bot" for one in ways[0] if "agent_id" in asked)
                    assert all((one.memory.metadata or {})["kind"] == "fact" for one in ways[0] if "filters" in asked)

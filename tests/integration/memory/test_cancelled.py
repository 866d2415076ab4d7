"""Who is not waited for any more costs nothing: the statement ends in the database, and the connection comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.integration.memory.conftest import Pool, StartEngine
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine, SearchOptions

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEAL = [SpokenMessage("user", "I like teal.", NOON)]
BY_STATEMENT = EngineOptions(search=SearchOptions(index_cache_mb=0, index_page=0))
CALLS: dict[str, Callable[[MemoryEngine], Awaitable[Any]]] = {
    "search": lambda engine: engine.search("colour", user_id="ann"),
    "search_by_agent": lambda engine: engine.search_by_agent("colour", agent_id="bot"),
    "get_all": lambda engine: engine.get_all(user_id="ann"),
    "list_by_agent": lambda engine: engine.list_by_agent(agent_id="bot"),
    "add": lambda engine: engine.add(TEAL, user_id="ann"),
    "delete_all": lambda engine: engine.delete_all(user_id="ann"),
}


@asynccontextmanager
async def nobody_gets_at_the_memories(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Gives a session that sees what runs."""
    async with (
        await AsyncConnection.connect(dsn) as holding,
        await AsyncConnection.connect(dsn, autocommit=True) as watching,
    ):
        await holding.execute("LOCK TABLE memory_entry IN ACCESS EXCLUSIVE MODE")
        yield watching
        await holding.rollback()


async def running(connection: AsyncConnection[Any]) -> list[str]:
    cursor = await connection.execute(
        "SELECT query FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'"
    )
    return [row[0] for row in await cursor.fetchall()]


@pytest.mark.parametrize("options", [EngineOptions(), BY_STATEMENT], ids=["at hand", "by statement"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_statement_ends_with_whoever_waits_for_it(
    call: str, options: EngineOptions, start_engine: StartEngine, pool: Pool, database_dsn: str
) -> None:
    async with start_engine(None, options) as engine:
        async with nobody_gets_at_the_memories(database_dsn) as watching:
            asked = asyncio.ensure_future(CALLS[call](engine))
            await until(lambda: running(watching))
            asked.cancel()
            await asyncio.wait({asked})
            assert asked.cancelled()

            async def nothing_runs() -> bool:
                return not await running(watching)

            await until(nothing_runs)
        for _ in range(8):  # more than the pool has: none was lost
            await CALLS["get_all"](engine)
        assert pool.get_stats()["pool_size"] == 4

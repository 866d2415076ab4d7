"""An owner with a great many memories: indexes of its own, built once, dropped when they are not needed."""

import asyncio
import random
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.test_index import QUESTIONS, fill
from tests.integration.memory.test_index_changes import said
from tests.support.postgres import PostgresServer
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import (
    EngineOptions,
    FoundMemory,
    MemoryEngine,
    SearchOptions,
)
from xiaozhi_server.core.providers.memory.mem0ai.finding import large, search

Pool = AsyncConnectionPool[AsyncConnection[Any]]
LARGE = EngineOptions(search=SearchOptions(index_rows_max=100))
EXACT = EngineOptions(search=SearchOptions(index_cache_mb=0, index_page=0))
INDEXES = (
    "SELECT relname, indisvalid, pg_get_expr(indpred, indrelid)"
    " FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = 'memory_entry'::regclass AND relname ~ '_(near|words)_' ORDER BY relname"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks after large memories all the time."""
    often = partial(large.LargeOptions, check_every_s=0.2, check_soon_s=0.05)
    monkeypatch.setattr(search, "LargeOptions", often)


def admin_dsn(server: PostgresServer, dsn: str) -> str:
    """The same database, as superuser."""
    return psycopg.conninfo.make_conninfo(server.admin.info.dsn, dbname=conninfo_to_dict(dsn)["dbname"])


async def indexes(pool: Pool) -> list[tuple[str, bool, str]]:
    async with pool.connection() as connection:
        return list(await (await connection.execute(INDEXES)).fetchall())


async def becomes_large(engine: MemoryEngine, user_id: str = "ann") -> None:
    """Asks until the engine has noticed."""

    async def noticed() -> bool:
        await engine.search("tea", user_id=user_id)
        return engine._searcher is not None and engine._searcher._large.ready(user_id)

    await until(noticed)


async def test_a_large_owner_gets_indexes_and_the_same_answers(start_engine: Any, pool: Pool) -> None:
    async with start_engine(None, LARGE) as engine, start_engine(None, EXACT) as exact:
        await fill(engine, random.Random(1), "ann", sessions=120)
        await fill(engine, random.Random(2), "bob", sessions=4)
        await becomes_large(engine)
        assert [valid for _, valid, _ in await indexes(pool)] == [True, True]
        for _ in range(3):
            for question in QUESTIONS:
                for asked in ({}, {"agent_id": "bot"}, {"filters": {"kind": "fact"}}):
                    ways = [await way.search(question, user_id="ann", top_k=5, **asked) for way in (engine, exact)]
                    assert_much_the_same(*ways)
                    assert all(one.memory.agent_id == "bot" for one in ways[0] if "agent_id" in asked)
                    assert all((one.memory.metadata or {})["kind"] == "fact" for one in ways[0] if "filters" in asked)


def assert_much_the_same(quick: list[FoundMemory], exact: list[FoundMemory]) -> None:
    """The best is among the first. Not all neighbours are looked at, and words are counted over all that there is."""
    assert exact[0].memory.id in [one.memory.id for one in quick[:3]]
    assert quick[0].score == pytest.approx(exact[0].score, abs=0.15)
    semantic = {one.memory.id: one.semantic_score for one in exact}
    for one in quick:
        if one.memory.id in semantic:
            assert one.semantic_score == pytest.approx(semantic[one.memory.id], abs=2e-4)


async def test_what_a_large_owner_says_and_deletes_counts_at_once(start_engine: Any) -> None:
    async with start_engine(None, LARGE) as engine:
        await fill(engine, random.Random(1), "ann", sessions=60)
        await becomes_large(engine)
        (added,) = await engine.add([said("The secret word is zanzibar.")], user_id="ann")
        found = await engine.search("What is the secret word zanzibar?", user_id="ann", top_k=3)
        assert found[0].memory == added
        await engine.delete(added.id, user_id="ann")
        found = await engine.search("What is the secret word zanzibar?", user_id="ann", top_k=3)
        assert all(one.memory.id != added.id for one in found)
        await engine.enqueue([said("The secret word is timbuktu.")], user_id="ann")
        found = await engine.search("What is the secret word timbuktu?", user_id="ann", top_k=3)
        assert found[0].memory.text == "The secret word is timbuktu."


async def test_the_indexes_go_with_the_owner(start_engine: Any, pool: Pool) -> None:
    async with start_engine(None, LARGE) as engine:
        await fill(engine, random.Random(1), "it's \\ ann", sessions=60)
        await becomes_large(engine, "it's \\ ann")
        assert all("it''s" in predicate for _, _, predicate in await indexes(pool))
        await engine.delete_all(user_id="it's \\ ann")
        await until(lambda: none_left(pool))
        assert await engine.search("tea", user_id="it's \\ ann") == []


async def none_left(pool: Pool) -> bool:
    return await indexes(pool) == []


async def test_two_programs_build_once_and_both_know(start_engine: Any, pool: Pool) -> None:
    async with start_engine(None, LARGE) as one, start_engine(None, LARGE) as other:
        await fill(one, random.Random(1), "ann", sessions=60)
        await asyncio.gather(becomes_large(one), becomes_large(other))
        assert [valid for _, valid, _ in await indexes(pool)] == [True, True]
    async with start_engine(None, LARGE) as later:
        await until(lambda: later._searcher._large.ready("ann"))  # without being asked


async def test_an_index_that_could_not_be_built_is_built_anew(
    start_engine: Any, pool: Pool, postgres_server: PostgresServer, database_dsn: str
) -> None:
    async with start_engine(None, LARGE) as engine:
        await fill(engine, random.Random(1), "ann", sessions=60)
        await becomes_large(engine)
        before = [name for name, _, _ in await indexes(pool)]
    with psycopg.connect(admin_dsn(postgres_server, database_dsn), autocommit=True) as admin:
        # What remains when a program is killed while it builds, of one owner who is there and one who is gone.
        admin.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (before[0],))
        admin.execute("CREATE INDEX memory_near_0123456789abcdef ON memory_entry (user_id) WHERE user_id = 'gone'")
    async with start_engine(None, LARGE):

        async def mended() -> bool:
            found = await indexes(pool)
            return [name for name, _, _ in found] == before and all(valid for _, valid, _ in found)

        await until(mended)

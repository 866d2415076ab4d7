"""The bench's look at a large owner's graph: it tells whether the graph is used, and what it misses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.memory_data import LookupEmbedder, Person, people
from bench.memory_speed import fill
from bench.nearest import Nearest, nearest
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.finding import large_indexes, large_search
from xiaozhi_server.core.providers.memory.mem0ai.finding.owner_load import Source
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope


@pytest.fixture
def lookup() -> LookupEmbedder:
    bases = np.random.default_rng(1).standard_normal((50, LookupEmbedder.dimensions)).astype(np.float32)
    return LookupEmbedder({}, bases / np.linalg.norm(bases, axis=1, keepdims=True))


@pytest.fixture
async def person(database_dsn: str, lookup: LookupEmbedder) -> Person:
    """Who has told a lot."""
    (person,) = people(1, 3000)
    async with AsyncConnectionPool(database_dsn, min_size=1, max_size=1, open=False) as pool:
        with ThreadPoolExecutor(1) as executor:
            engine = MemoryEngine(pool, lookup, executor)
            await engine.start(work=False)  # makes the tables
            await engine.stop(1.0)
    await fill(database_dsn, iter([person]), lookup)
    return person


async def looked_at(dsn: str, lookup: LookupEmbedder, person: Person) -> Nearest:
    return await nearest(dsn, lookup, Scope(person.user_id, "agent"), [one.question for one in person.asked])


async def build(dsn: str, lookup: LookupEmbedder, person: Person) -> None:
    options = EngineOptions().search
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        number = await pgstore.embedder_number(connection, lookup)
        source = Source(number, lookup.dimensions, options.unsaved_shown, options.index_page)
        await large_indexes.build(connection, person.user_id, source)


async def test_a_graph_that_is_not_there_is_not_used(database_dsn: str, lookup: LookupEmbedder, person: Person) -> None:
    assert await looked_at(database_dsn, lookup, person) == Nearest(found=1.0, by_index=0.0)
    await build(database_dsn, lookup, person)
    seen = await looked_at(database_dsn, lookup, person)
    assert seen.by_index == 1.0
    assert seen.found >= 0.9


async def test_it_is_measured_with_the_settings_of_the_search(
    database_dsn: str, lookup: LookupEmbedder, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build(database_dsn, lookup, person)
    whole = await looked_at(database_dsn, lookup, person)
    monkeypatch.setattr(large_search, "settings", lambda _: "SET hnsw.ef_search = 1; SET hnsw.iterative_scan = off")
    assert (await looked_at(database_dsn, lookup, person)).found < 0.2 < whole.found

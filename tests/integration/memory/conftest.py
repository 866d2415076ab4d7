"""A real database for each test, and engines on it."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.gathering_saver import GatheringSaver
from xiaozhi_server.core.providers.memory.mem0ai import Embedder, EngineOptions, MemoryEngine, MiniLmEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]


class StartEngine(Protocol):
    def __call__(
        self, embedder: Embedder | None = None, options: EngineOptions | None = None
    ) -> Any:  # an async context manager with the started engine
        ...


class StartGathering(Protocol):
    def __call__(
        self, policy: BatchPolicy, options: DrainOptions | None = None, **faults: str
    ) -> Any:  # an async context manager with the started engine and its saver
        ...


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="session")
def model_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("minilm")


@pytest.fixture
def minilm(model_cache: Path, executor: ThreadPoolExecutor) -> MiniLmEmbedder:
    return MiniLmEmbedder(model_cache, executor)


@pytest.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    # Of a fixed size and complete before the test begins: a pool that grows starts tasks of its own meanwhile.
    async with AsyncConnectionPool(database_dsn, min_size=4, max_size=4, timeout=5, open=False) as pool:
        await pool.wait()
        yield pool


@pytest.fixture
def start_engine(pool: Pool, executor: ThreadPoolExecutor) -> StartEngine:
    @asynccontextmanager
    async def started(
        embedder: Embedder | None = None, options: EngineOptions | None = None
    ) -> AsyncIterator[MemoryEngine]:
        engine = MemoryEngine(pool, embedder or WordEmbedder(), executor, options)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.stop(1.0)

    return started


@pytest.fixture
def start_gathering(pool: Pool, executor: ThreadPoolExecutor) -> StartGathering:
    @asynccontextmanager
    async def started(
        policy: BatchPolicy, options: DrainOptions | None = None, **faults: str
    ) -> AsyncIterator[tuple[MemoryEngine, GatheringSaver]]:
        savers: list[GatheringSaver] = []

        def make(verbatim: VerbatimSaver) -> GatheringSaver:
            savers.append(GatheringSaver(verbatim, policy, **faults))
            return savers[0]

        engine_options = EngineOptions(drain=options or DrainOptions())
        engine = MemoryEngine(pool, WordEmbedder(), executor, engine_options, make_saver=make)
        await engine.start()
        try:
            yield engine, savers[0]
        finally:
            await engine.stop(1.0)

    return started


@pytest.fixture
async def engine(start_engine: StartEngine) -> AsyncIterator[MemoryEngine]:
    async with start_engine() as engine:
        yield engine

"""The database goes and comes back while people talk, the embedder fails or hangs: each exchange is remembered once."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.gathering_saver import GatheringSaver
from tests.support.postgres_proxy import Fault, PostgresProxy
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder
from xiaozhi_server.store.embedded import EmbeddedPostgres

OWNERS = 4
EXCHANGES = 25
POLICY = BatchPolicy(idle_s=0.2, exchanges=4, timeout_s=0.3)
OPTIONS = EngineOptions(
    database_timeout_s=0.5,
    drain=DrainOptions(
        prepare_timeout_s=0.3,
        database_timeout_s=0.5,
        lease_s=1.5,
        idle_pause_s=0.1,
        first_retry_s=0.02,
        longest_retry_s=0.2,
        attempts_max=10_000,
    ),
)


class IllEmbedder(WordEmbedder):
    """Every third call fails, every seventh hangs."""

    def __init__(self) -> None:
        self.calls = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        if self.calls % 7 == 0:
            await asyncio.Event().wait()
        if self.calls % 3 == 0:
            raise RuntimeError("the embedder is ill")
        return await super().embed(texts)


@asynccontextmanager
async def engine_on(dsn: str, *, batches: bool, ill: bool = False) -> AsyncIterator[MemoryEngine]:
    def make(verbatim: VerbatimSaver) -> Any:
        return GatheringSaver(verbatim, POLICY) if batches else verbatim

    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
        dsn, min_size=2, max_size=6, timeout=0.5, reconnect_timeout=0.2, open=False
    )
    with ThreadPoolExecutor(2) as executor:
        async with pool:
            await pool.wait()
            embedder = IllEmbedder() if ill else WordEmbedder()
            engine = MemoryEngine(pool, embedder, executor, OPTIONS, make_saver=make)
            await engine.start()
            try:
                yield engine
            finally:
                await engine.stop(1.0)


def fact(owner: int, number: int) -> str:
    return f"Fact number {number} of owner {owner}."


async def tell_all(engine: MemoryEngine, owner: int) -> None:
    """As whoever writes dialogues does it: until it is accepted, under the same key."""
    for number in range(EXCHANGES):
        message = SpokenMessage("user", fact(owner, number), datetime.now(UTC))
        while True:
            try:
                await engine.enqueue(
                    [message], user_id=f"owner-{owner}", agent_id="bot", session_id=f"s{owner}", key=f"turn-{number}"
                )
                break
            except Exception:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.03)


async def is_all_remembered(dsn: str) -> None:
    """Asked behind the engine's back: each once, and nothing waits."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        async with asyncio.timeout(30):
            while await rows(connection, "SELECT FROM memory_outbox WHERE state <> 'done' LIMIT 1"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for owner in range(OWNERS):
            texts = await rows(
                connection, "SELECT text FROM memory_entry WHERE user_id = %s ORDER BY created_at", f"owner-{owner}"
            )
            assert [text for (text,) in texts] == [fact(owner, number) for number in range(EXCHANGES)]


async def rows(connection: AsyncConnection[Any], statement: str, *parameters: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement.encode(), parameters or None)).fetchall()


async def talk(engine: MemoryEngine) -> None:
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for owner in range(OWNERS):
            group.create_task(tell_all(engine, owner))


@pytest.mark.parametrize("batches", [False, True], ids=["at once", "batches"])
@pytest.mark.parametrize("fault", get_args(Fault))
async def test_the_database_comes_and_goes(fault: Fault, batches: bool, database_dsn: str, tmp_path: Path) -> None:
    dice = random.Random(7)
    async with PostgresProxy(database_dsn, tmp_path) as proxy, engine_on(proxy.dsn, batches=batches) as engine:
        talking = asyncio.create_task(talk(engine))
        while not talking.done():
            await asyncio.sleep(dice.uniform(0.05, 0.3))
            await proxy.fail(fault)
            await asyncio.sleep(dice.uniform(0.05, 0.8))
            await proxy.heal()
        await talking
        await is_all_remembered(database_dsn)


@pytest.mark.parametrize("batches", [False, True], ids=["at once", "batches"])
async def test_postgresql_crashes_and_recovers(batches: bool, tmp_path: Path) -> None:
    """Killing one of its processes makes it end all sessions, replay its log and come back."""
    postgres = EmbeddedPostgres(tmp_path)
    dsn = await postgres.start()
    try:
        async with engine_on(dsn, batches=batches) as engine:
            talking = asyncio.create_task(talk(engine))
            for _ in range(2):
                await asyncio.sleep(0.2)
                async with await psycopg.AsyncConnection.connect(postgres.superuser_dsn) as connection:
                    os.kill(connection.info.backend_pid, signal.SIGKILL)
                await is_back(dsn)
            await talking
            await is_all_remembered(dsn)
    finally:
        await postgres.stop()


async def is_back(dsn: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(dsn) as connection:
                    await connection.execute("SELECT 1")
                    return
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("batches", [False, True], ids=["at once", "batches"])
async def test_an_embedder_that_fails_and_hangs(batches: bool, database_dsn: str) -> None:
    async with engine_on(database_dsn, batches=batches, ill=True) as engine:
        await talk(engine)
        await is_all_remembered(database_dsn)


async def test_a_dead_letter_is_seen_and_replayed(start_engine: Any) -> None:
    class Broken(WordEmbedder):
        broken = True

        async def embed(self, texts: Sequence[str]) -> Vectors:
            if self.broken and "hello" not in texts:
                raise RuntimeError("the embedder is ill")
            return await super().embed(texts)

    embedder = Broken()
    options = EngineOptions(drain=DrainOptions(first_retry_s=0.01, longest_retry_s=0.01, attempts_max=2))
    async with start_engine(embedder, options) as engine:
        for owner, text in (("ann", "I like teal."), ("ann", "I row."), ("bob", "I like plums.")):
            await engine.enqueue([SpokenMessage("user", text, datetime.now(UTC))], user_id=owner, key=text)
        async with asyncio.timeout(30):
            while (await engine.depth()).dead < 3:  # noqa: ASYNC110 - the database has no event to wait for
                await asyncio.sleep(0.01)
        letters = await engine.dead_letters()
        assert {letter.entry.key for letter in letters} == {"I like teal.", "I row.", "I like plums."}
        assert {letter.error for letter in letters} == {"RuntimeError"}
        assert [letter.entry.key for letter in await engine.dead_letters("ann")] == ["I like teal.", "I row."]
        assert [letter.entry.key for letter in await engine.dead_letters("ann", limit=1)] == ["I like teal."]
        embedder.broken = False
        assert await engine.replay("ann", key="I row.") == 1
        assert await engine.replay("bob", key="I row.") == 0
        assert await engine.replay("ann") == 1
        assert await engine.replay() == 1
        async with asyncio.timeout(30):
            while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
                await asyncio.sleep(0.01)
        assert await engine.dead_letters() == []
        assert {one.text for one in await engine.get_all(user_id="ann")} == {"I like teal.", "I row."}
        assert {one.text for one in await engine.get_all(user_id="bob")} == {"I like plums."}


class DeadEmbedder(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError("the embedder is dead")


# Each time that an entry of Ann's is put off: after which attempt, and for how long on the clock of the database.
NOTE_PAUSES = """
CREATE TABLE pause (attempts integer, seconds float8);
CREATE FUNCTION note_pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pause VALUES (NEW.attempts, extract(epoch FROM NEW.due_at - now()));
    RETURN NULL;
END $$;
CREATE TRIGGER note_pause AFTER UPDATE ON memory_outbox FOR EACH ROW
WHEN (NEW.user_id = 'ann' AND NEW.attempts = OLD.attempts AND NEW.due_at > now())
EXECUTE FUNCTION note_pause();
"""


async def test_what_cannot_be_saved_is_tried_again_after_growing_pauses(
    start_engine: Any, pool: AsyncConnectionPool[AsyncConnection[Any]]
) -> None:
    async with start_engine(DeadEmbedder()) as engine, asyncio.timeout(60):
        async with pool.connection() as connection:
            await connection.execute(NOTE_PAUSES)
        await engine.enqueue([spoken("I like tea.")], user_id="ann", key="tea")
        for attempt in (1, 2, 3):
            while len(pauses := await pauses_noted(pool)) < attempt:  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.01)
            async with pool.connection() as connection:  # the test waits for none of them
                await connection.execute("UPDATE memory_outbox SET due_at = now() WHERE user_id = 'ann'")
            await engine.enqueue([spoken("Wake up.")], user_id="bob", key=str(attempt))
        assert pauses[:3] == [(1, 0.5), (2, 1.0), (3, 2.0)]


def spoken(text: str) -> SpokenMessage:
    return SpokenMessage("user", text, datetime.now(UTC))


async def pauses_noted(pool: AsyncConnectionPool[AsyncConnection[Any]]) -> list[tuple[int, float]]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT attempts, seconds FROM pause ORDER BY attempts")
        return await cursor.fetchall()

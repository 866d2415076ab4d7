import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support.postgres_proxy import Fault, PostgresProxy
from xiaozhi_server.core.ports import AgentProfile, Binding, Exchange, SpokenLine
from xiaozhi_server.core.providers.memory.base import AnyMessage, Memory, MemoryProvider, SpokenMessage
from xiaozhi_server.store.conversations import ConversationOptions, ConversationStore
from xiaozhi_server.store.database import Database, DatabaseError
from xiaozhi_server.store.spool import SpoolFullError

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
BINDING = Binding("02:00:00:00:00:01", "device:02:00:00:00:00:01", AgentProfile("default", "Ada", "", "en"))
PROMPT = ConversationOptions(answer_timeout_s=0.2, first_pause_s=0.01, longest_pause_s=0.05)


class Notebook:
    """A memory that writes into a table of its own, in the transaction that it is given."""

    def __init__(self, role_id: str) -> None:
        self.role_id = role_id

    async def init_memory(
        self,
        role_id: str,
        *,
        agent_id: str | None = None,
        summary_memory: str | None = None,
        memory_categories: Sequence[str] = (),
    ) -> None:
        self.role_id = role_id

    async def save_memory(
        self,
        messages: Sequence[AnyMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None:
        text = " / ".join(message.content for message in messages if isinstance(message, SpokenMessage))
        await transaction.execute(
            "INSERT INTO notebook VALUES (%s, %s, %s) ON CONFLICT (key) DO NOTHING", (key, self.role_id, text)
        )

    async def query_memory(self, query: str) -> str:
        return ""

    async def recall(self, query: str, limit: int, deadline: float, *, speaker: str | None = None) -> list[Memory]:
        return []

    async def close(self) -> None: ...


async def notebook_for(binding: Binding) -> MemoryProvider:
    return Notebook(binding.owner_id)


MEMORY: MemoryProvider = Notebook(BINDING.owner_id)


def exchange(said: str, number: int = 0, session_id: str = "s1", binding: Binding = BINDING) -> Exchange:
    at = START + timedelta(seconds=number)
    lines = (SpokenLine(str(uuid4()), "user", said, at), SpokenLine(str(uuid4()), "assistant", "Aha.", at))
    return Exchange(str(uuid4()), session_id, binding, lines, "done", {"llm_first_token": 12.5}, ("slow",))


@dataclass(frozen=True, slots=True)
class World:
    """A store on a database behind a proxy. `dsn` goes past the proxy: what is really there."""

    dsn: str
    spool_dir: Path
    proxy: PostgresProxy
    database: Database
    executor: Executor

    @asynccontextmanager
    async def store(self, options: ConversationOptions = PROMPT) -> AsyncIterator[ConversationStore]:
        store = ConversationStore(self.database, self.spool_dir, notebook_for, executor=self.executor, options=options)
        await store.start()
        try:
            yield store
        finally:
            await store.close()

    async def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.dsn) as connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall()

    async def user_lines(self) -> list[str]:
        rows = await self.fetch("SELECT content FROM message WHERE role = 'user' ORDER BY position")
        return [row[0] for row in rows]


@asynccontextmanager
async def opened(dsn: str, folder: Path) -> AsyncIterator[World]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("CREATE TABLE notebook (key text PRIMARY KEY, owner text, content text)")
    with ThreadPoolExecutor(1) as executor:
        async with PostgresProxy(dsn, folder) as proxy:
            database = await Database.open(proxy.dsn)
            try:
                yield World(dsn, folder / "spool", proxy, database, executor)
            finally:
                await database.close()


async def test_an_exchange_is_written_with_session_trace_and_memory(database_dsn: str, tmp_path: Path) -> None:
    said = exchange("My favourite colour is teal.")
    async with opened(database_dsn, tmp_path) as world:
        async with world.store() as store:
            await store.open_session("s1", BINDING, START)
            await store.record(said, MEMORY)
            await store.close_session("s1", START + timedelta(minutes=1), "goodbye")
        rows = await world.fetch("SELECT id::text, role, content, spoken_at FROM message ORDER BY position")
        assert rows == [(line.id, line.role, line.content, line.spoken_at) for line in said.lines]
        traces = await world.fetch("SELECT owner_id, turn_id, outcome, timings_ms, errors FROM turn_trace")
        assert traces == [(BINDING.owner_id, said.turn_id, "done", {"llm_first_token": 12.5}, ["slow"])]
        assert await world.fetch("SELECT close_reason, device_id FROM session") == [("goodbye", BINDING.device_id)]
        saved = [(said.turn_id, BINDING.owner_id, "My favourite colour is teal. / Aha.")]
        assert await world.fetch("SELECT * FROM notebook") == saved


async def test_writing_twice_changes_nothing(database_dsn: str, tmp_path: Path) -> None:
    said = exchange("once")
    async with opened(database_dsn, tmp_path) as world:
        async with world.store() as store:
            for _ in range(2):
                await store.record(said, MEMORY)
        counts = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM turn_trace), count(*) FROM notebook"
        assert await world.fetch(counts) == [(2, 1, 1)]


@pytest.mark.parametrize(
    ("history", "memory_enabled", "written"),
    [("off", False, (0, 0, 0)), ("off", True, (0, 0, 1)), ("text", False, (2, 1, 0))],
)
async def test_nothing_is_written_that_the_agent_does_not_keep(
    database_dsn: str, tmp_path: Path, history: Any, memory_enabled: bool, written: tuple[int, ...]
) -> None:
    agent = replace(BINDING.agent, history=history, memory_enabled=memory_enabled)
    binding = replace(BINDING, agent=agent)
    async with opened(database_dsn, tmp_path) as world:
        async with world.store() as store:
            await store.open_session("s1", binding, START)
            await store.record(exchange("secret", binding=binding), MEMORY)
            await store.close_session("s1", START, "goodbye")
        counts = "SELECT (SELECT count(*) FROM message), (SELECT count(*) FROM session), count(*) FROM notebook"
        assert await world.fetch(counts) == [written]


async def test_text_that_postgres_cannot_hold_is_cleaned(database_dsn: str, tmp_path: Path) -> None:
    async with opened(database_dsn, tmp_path) as world:
        async with world.store() as store:
            await store.record(exchange("zero\x00 and half \ud83d"), MEMORY)
            assert store.waiting == 0
        assert await world.user_lines() == ["zero and half ?"]


async def test_the_last_conversation_of_this_household_with_this_agent(database_dsn: str, tmp_path: Path) -> None:
    elsewhere = replace(BINDING, owner_id="device:other")
    async with opened(database_dsn, tmp_path) as world, world.store() as store:
        await store.record(exchange("old", 0, "s1"), None)
        await store.record(exchange("newer", 10, "s2"), None)
        await store.record(exchange("newest", 20, "s2"), None)
        await store.record(exchange("not ours", 30, "s3", elsewhere), None)
        lines = await store.latest_lines(BINDING, 10)
        assert [line.content for line in lines] == ["newer", "Aha.", "newest", "Aha."]
        assert [line.content for line in await store.latest_lines(BINDING, 2)] == ["newest", "Aha."]


@pytest.mark.parametrize("fault", ["frozen", "stopped"])
async def test_what_is_said_while_the_database_is_away_is_written_when_it_is_back(
    database_dsn: str, tmp_path: Path, fault: Fault
) -> None:
    loop = asyncio.get_running_loop()
    said = [f"line {number:02}" for number in range(50)]
    async with opened(database_dsn, tmp_path) as world, world.store() as store:
        await store.record(exchange("before"), MEMORY)
        await world.proxy.fail(fault)
        started = loop.time()
        for number, line in enumerate(said):
            await store.record(exchange(line, number), MEMORY)
        # Only the first waits for an answer; the others know that there is none.
        assert loop.time() - started < len(said) * PROMPT.answer_timeout_s / 2
        assert store.waiting == len(said)
        await world.proxy.heal()
        await store.close(20)
        # The first may have been late rather than lost, and then it is written twice, which is once.
        assert sorted(await world.user_lines()) == ["before", *said]
        assert len(await world.fetch("SELECT * FROM notebook")) == 1 + len(said)


async def test_what_waits_on_disk_survives_the_process(database_dsn: str, tmp_path: Path) -> None:
    async with opened(database_dsn, tmp_path) as world:
        async with world.store() as store:
            await world.proxy.fail("stopped")
            await store.record(exchange("kept"), MEMORY)
            await store.close(0.1)
        (waiting,) = world.spool_dir.iterdir()
        assert waiting.stat().st_mode & 0o777 == 0o600
        await world.proxy.heal()
        async with world.store() as store:
            await store.close(20)
        assert await world.user_lines() == ["kept"]
        assert not list(world.spool_dir.iterdir())


async def test_an_exchange_that_is_refused_again_and_again_does_not_hold_up_the_others(
    database_dsn: str, tmp_path: Path
) -> None:
    bad = exchange("bad")
    async with opened(database_dsn, tmp_path) as world, world.store() as store:
        await store.record(replace(bad, lines=(replace(bad.lines[0], id="no uuid"),)), None)
        await store.record(exchange("good", 1), MEMORY)
        await store.close(20)
        assert await world.user_lines() == ["good"]
        assert [entry.suffix for entry in world.spool_dir.iterdir()] == [".rejected"]


async def test_the_spool_has_a_bound(database_dsn: str, tmp_path: Path) -> None:
    async with opened(database_dsn, tmp_path) as world, world.store(replace(PROMPT, spool_limit=2)) as store:
        await world.proxy.fail("stopped")
        await store.record(exchange("one"), None)
        await store.record(exchange("two"), None)
        with pytest.raises(SpoolFullError):
            await store.record(exchange("three"), None)
        assert store.waiting == 2, "what found no room does not wait"
        await store.close(0.05)


async def test_reading_the_last_conversation_never_fails(database_dsn: str, tmp_path: Path) -> None:
    async with opened(database_dsn, tmp_path) as world, world.store() as store:
        await store.record(exchange("said"), None)
        await world.proxy.fail("frozen")
        assert await store.latest_lines(BINDING, 5) == ()
        await world.proxy.heal()


async def test_a_spool_that_cannot_be_made_is_one_line(database_dsn: str, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file stands here")
    async with opened(database_dsn, tmp_path) as world:
        with pytest.raises(
            DatabaseError, match=r"spool: File exists: start as its owner, or choose another --data-dir"
        ):
            async with world.store():
                pass

"""The dialogue of an owner who is forgotten: gone, and what is on its way comes too late."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.store.test_conversation_store import BINDING, exchange, notebook_for
from tests.support.waiting import until
from xiaozhi_server.core.ports import Exchange
from xiaozhi_server.core.providers.memory.mem0ai.scope import owner_of
from xiaozhi_server.store.conversations import ConversationStore
from xiaozhi_server.store.database import Database
from xiaozhi_server.store.forgetting import count_dialogue, forget_dialogue, forget_spooled
from xiaozhi_server.store.queries import query
from xiaozhi_server.store.spool import Spool

OTHER = replace(BINDING, owner_id="account:7")


def now(said: str, number: int = 0, **more: Any) -> Exchange:
    """Said at this moment."""
    made = exchange(said, number, **more)
    at = datetime.now(UTC)
    return replace(made, lines=tuple(replace(line, spoken_at=at) for line in made.lines))


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(database_dsn)
    yield database
    await database.close()


@asynccontextmanager
async def opened(database: Database, folder: Path) -> AsyncIterator[ConversationStore]:
    with ThreadPoolExecutor(2) as executor:
        store = ConversationStore(database, folder, notebook_for, executor=executor)
        await store.start()
        yield store
        await store.close()


async def contents(dsn: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT content FROM message ORDER BY position")
        return [content for (content,) in await cursor.fetchall() if content != "Aha."]


async def forget(database: Database, owner_id: str = BINDING.owner_id) -> dict[str, int]:
    async with database.pool.connection() as connection:
        return dict(await forget_dialogue(connection, owner_id))


async def test_everything_of_one_owner_goes(database: Database, database_dsn: str, tmp_path: Path) -> None:
    async with opened(database, tmp_path) as store:
        await store.open_session("s1", BINDING, datetime.now(UTC))
        await store.record(exchange("My name is Ann."), None)
        await store.record(exchange("I am Bob.", session_id="s2", binding=OTHER), None)
    async with database.pool.connection() as connection:
        await connection.execute("INSERT INTO person (owner_id, name) VALUES (%s, 'Ann')", (BINDING.owner_id,))
    there = {"message": 2, "person": 1, "session": 1, "turn_trace": 1}
    async with database.pool.connection() as connection:
        assert await count_dialogue(connection, BINDING.owner_id) == there
    assert await forget(database) == there
    assert await forget(database) == {}
    assert await contents(database_dsn) == ["I am Bob."]


async def test_what_was_said_before_is_not_written_after(database: Database, database_dsn: str, tmp_path: Path) -> None:
    old = now("My name is Ann.")
    await forget(database)
    async with opened(database, tmp_path) as store:
        await store.open_session("s1", BINDING, datetime.now(UTC))
        await store.record(old, None)
        await store.record(now("I like teal."), None)
        assert store.waiting == 0
    assert await contents(database_dsn) == ["I like teal."]
    async with database.pool.connection() as connection:
        counts = await count_dialogue(connection, BINDING.owner_id)
    assert counts == {"message": 2, "session": 1, "turn_trace": 1}


async def test_an_exchange_that_is_being_written_is_waited_for(database: Database, database_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        await connection.execute(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('owner ' || %s::text, 0))", (BINDING.owner_id,)
        )
        await connection.execute("INSERT INTO session VALUES (%s, 's9', 'default', 'd', now())", (BINDING.owner_id,))
        forgetting = asyncio.create_task(forget(database))
        await until(lambda: waits(database))
        assert not forgetting.done()
        await connection.commit()
    assert await forgetting == {"session": 1}
    assert await contents(database_dsn) == []


async def waits(database: Database) -> bool:
    async with database.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        row = await cursor.fetchone()
    return bool(row and row[0])


async def test_a_device_that_talks_leaves_nothing_from_before(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    async with opened(database, tmp_path) as store:

        async def talk(session_id: str) -> None:
            for number in range(30):
                said = now("", session_id=session_id)
                lines = tuple(replace(line, content=line.spoken_at.isoformat()) for line in said.lines)
                await store.record(replace(said, lines=lines), None)
                if number % 10 == 9:
                    await store.close_session(session_id, datetime.now(UTC), "test")

        talking = [asyncio.create_task(talk(session_id)) for session_id in ("a", "b")]
        await until(lambda: contents(database_dsn))
        await forget(database)
        await asyncio.gather(*talking)
        await until(lambda: store.waiting == 0)
    async with database.pool.connection() as connection:
        cursor = await connection.execute("SELECT forgotten_at FROM forgotten_owner")
        ((forgotten_at,),) = await cursor.fetchall()
    left = [datetime.fromisoformat(text) for text in await contents(database_dsn)]
    assert all(at > forgotten_at for at in left)


ANN = owner_of(BINDING.owner_id, "Ann")


def said_by(speaker: str, said: str, number: int = 0) -> Exchange:
    made = now(said, number)
    return replace(made, lines=tuple(replace(line, speaker=speaker) for line in made.lines))


async def test_a_person_of_a_household_goes_without_the_others(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    late = said_by("Ann", "I sail.", 3)
    async with opened(database, tmp_path) as store:
        await store.record(said_by("Ann", "My name is Ann.", 0), None)
        await store.record(said_by("Bob", "I am Bob.", 1), None)
        await store.record(now("Who is there?", 2), None)
        async with database.pool.connection() as connection:
            assert await count_dialogue(connection, ANN) == {"message": 2}, "what she is answered is hers too"
        assert await forget(database, ANN) == {"message": 2}
        await store.record(late, None)
        await store.record(said_by("Ann", "I like teal.", 4), None)
    assert await contents(database_dsn) == ["I am Bob.", "Who is there?", "I like teal."]
    assert (await forget(database))["message"] == 6


async def test_a_person_who_is_being_written_down_is_waited_for(database: Database, database_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        await connection.execute(query("hold_owner"), {"owner_ids": [BINDING.owner_id, ANN]})
        forgetting = asyncio.create_task(forget(database, ANN))
        await until(lambda: waits(database))
        assert not forgetting.done()
        await connection.commit()
    assert await forgetting == {}


def test_a_person_on_disk_goes_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit=10)
    spool.open()
    for said in (said_by("Ann", "My name is Ann."), said_by("Bob", "I am Bob.", 1), now("I like teal.", 2)):
        spool.put(said)
    assert forget_spooled(tmp_path, ANN) == 1
    left = "".join(entry.read_text() for entry in tmp_path.iterdir())
    assert "Bob" in left
    assert "teal" in left
    assert "Ann" not in left
    assert forget_spooled(tmp_path, BINDING.owner_id) == 2


def test_exchanges_on_disk_go_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit=10)
    spool.open()
    for said in (exchange("My name is Ann."), exchange("I am Bob.", binding=OTHER), exchange("I like teal.")):
        spool.put(said)
    rejected = spool.waiting()[0]
    spool.put_aside(rejected)
    (tmp_path / "broken.json").write_text("{")
    assert forget_spooled(tmp_path, BINDING.owner_id, dry_run=True) == 2
    assert forget_spooled(tmp_path, BINDING.owner_id) == 2
    left = "".join(entry.read_text() for entry in tmp_path.iterdir())
    assert "Bob" in left
    assert "Ann" not in left
    assert "teal" not in left
    assert forget_spooled(tmp_path / "nowhere", BINDING.owner_id) == 0

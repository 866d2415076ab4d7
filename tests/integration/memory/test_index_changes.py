"""An owner's memories at hand are never older than the last change, whoever made it."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.finding import changes
from xiaozhi_server.core.providers.memory.mem0ai.finding.index_cache import IndexCache
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions

Pool = AsyncConnectionPool[AsyncConnection[Any]]
NOW = datetime.now(UTC)
SLOW_DRAIN = EngineOptions(drain=DrainOptions(recheck_pauses_s=(0.05,), idle_pause_s=0.05))


def said(text: str, minutes_ago: float = 1.0) -> SpokenMessage:
    return SpokenMessage("user", text, NOW - timedelta(minutes=minutes_ago))


async def found(engine: MemoryEngine, query: str, user_id: str = "ann", **scope: Any) -> set[str]:
    return {one.memory.text for one in await engine.search(query, user_id=user_id, top_k=200, **scope)}


async def until_found(engine: MemoryEngine, query: str, texts: set[str], user_id: str = "ann") -> None:
    """What others write is found as soon as the word of it has come."""

    async def all_found() -> bool:
        return await found(engine, query, user_id) == texts

    await until(all_found)


def is_at_hand(engine: MemoryEngine, user_id: str) -> bool:
    """Whether all is read, and the word of what we wrote ourselves has come too: by then all we heard is worked off."""
    kept = cache_of(engine)._kept.get(user_id)
    return kept is not None and not kept.stale and not cache_of(engine)._refreshes


def cache_of(engine: MemoryEngine) -> IndexCache:
    assert engine._searcher is not None
    return engine._searcher._cache


@pytest.fixture
async def stranger(database_dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Somebody else at the same database."""
    async with await AsyncConnection.connect(database_dsn, autocommit=True) as connection:
        yield connection


async def test_an_owner_at_hand_is_answered_without_the_database(engine: MemoryEngine, pool: Pool) -> None:
    await engine.add([said("My favourite colour is teal.")], user_id="ann")
    await found(engine, "colour")
    await until(lambda: is_at_hand(engine, "ann"))
    async with AsyncExitStack() as all_connections:
        for _ in range(pool.max_size):
            await all_connections.enter_async_context(pool.connection())
        for _ in range(20):
            async with asyncio.timeout(20):
                assert await found(engine, "colour") == {"My favourite colour is teal."}


async def test_what_is_fetched_before_the_first_question_is_at_hand(engine: MemoryEngine, pool: Pool) -> None:
    await engine.add([said("I like teal.")], user_id="ann")
    engine.prefetch("ann")
    await until(lambda: is_at_hand(engine, "ann"))
    async with AsyncExitStack() as all_connections:
        for _ in range(pool.max_size):
            await all_connections.enter_async_context(pool.connection())
        async with asyncio.timeout(20):
            assert await found(engine, "teal") == {"I like teal."}


async def test_our_own_writes_are_found_at_once(engine: MemoryEngine) -> None:
    """Random changes, each looked at right after."""
    dice = random.Random(4)
    expected: dict[uuid.UUID, str] = {}
    for number in range(80):
        match dice.choice(["add", "add", "update", "delete", "forget" if number % 20 == 19 else "add"]):
            case "add":
                (added,) = await engine.add([said(f"Secret number {number}.")], user_id="ann")
                expected[added.id] = added.text
            case "update" if expected:
                changed = dice.choice(list(expected))
                await engine.update(changed, user_id="ann", text=f"Secret number {number} instead.")
                expected[changed] = f"Secret number {number} instead."
            case "delete" if expected:
                gone = dice.choice(list(expected))
                await engine.delete(gone, user_id="ann")
                del expected[gone]
            case "forget":
                await engine.delete_all(user_id="ann")
                expected.clear()
        assert await found(engine, "secret number") == set(expected.values())


async def test_nobody_ever_sees_what_is_not_theirs_or_gone(start_engine: Any) -> None:
    """Two programs at one database, random owners, agents and changes: each sees its own at once, the other's soon."""
    dice = random.Random(8)
    expected: dict[tuple[str, str], dict[uuid.UUID, str]] = {}
    async with start_engine() as one, start_engine() as other:
        for number in range(150):
            engine = dice.choice([one, other])
            owner, agent = dice.choice(["ann", "bob", "cid"]), dice.choice(["bot", "tutor"])
            mine = expected.setdefault((owner, agent), {})
            action = dice.randrange(10)
            if action < 6:
                text = f"Secret number {number} of {owner} told to {agent}."
                (added,) = await engine.add([said(text, number)], user_id=owner, agent_id=agent)
                mine[added.id] = text
            elif action < 8 and mine:
                gone = dice.choice(list(mine))
                await engine.delete(gone, user_id=owner)
                del mine[gone]
            elif action == 8:
                await engine.delete_all(user_id=owner, agent_id=agent)
                mine.clear()
            assert await found(engine, "secret number", owner, agent_id=agent) == set(mine.values())
            asked = dice.choice(["ann", "bob", "cid"])
            for foreign in await dice.choice([one, other]).search("secret number", user_id=asked, top_k=200):
                assert foreign.memory.user_id == asked
        for engine in (one, other):
            for owner in ("ann", "bob", "cid"):
                texts = {text for (name, _), mine in expected.items() if name == owner for text in mine.values()}
                await until_found(engine, "secret number", texts, owner)


async def test_whatever_anybody_changes_in_the_tables_is_noticed(
    engine: MemoryEngine, stranger: AsyncConnection[Any]
) -> None:
    first, second, third = await engine.add([said(f"Secret number {name}.") for name in "abc"], user_id="ann")
    await until_found(engine, "secret number", {first.text, second.text, third.text})
    await stranger.execute("DELETE FROM memory_entry WHERE id = %s", (first.id,))
    await until_found(engine, "secret number", {second.text, third.text})
    await stranger.execute("UPDATE memory_entry SET superseded_by = %s WHERE id = %s", (third.id, second.id))
    await until_found(engine, "secret number", {third.text})
    await stranger.execute("UPDATE memory_entry SET superseded_by = NULL WHERE id = %s", (second.id,))
    await until_found(engine, "secret number", {second.text, third.text})
    await stranger.execute("UPDATE memory_entry SET valid_to = now() + interval '0.3 s' WHERE id = %s", (third.id,))
    await until_found(engine, "secret number", {second.text})
    # Several at once: the flags must stay with their rows, whatever the order is.
    many = await engine.add([said(f"Secret number {name}.", 20 - at) for at, name in enumerate("ghijk")], user_id="ann")
    await until_found(engine, "secret number", {second.text, *(one.text for one in many)})
    await stranger.execute(
        "UPDATE memory_entry SET superseded_by = CASE WHEN id = ANY (%s) THEN id END, position = 7 WHERE id = ANY (%s)",
        ([many[0].id, many[3].id], [one.id for one in many]),
    )
    await until_found(engine, "secret number", {second.text, many[1].text, many[2].text, many[4].text})
    await stranger.execute("DELETE FROM memory_entry WHERE id = ANY (%s)", ([one.id for one in many],))
    # One goes and one comes: as many as before.
    async with stranger.transaction():
        await stranger.execute("DELETE FROM memory_entry WHERE id = %s", (second.id,))
        await stranger.execute("UPDATE memory_entry SET valid_to = NULL WHERE id = %s", (third.id,))
    await until_found(engine, "secret number", {third.text})
    await stranger.execute("TRUNCATE memory_entry CASCADE")
    await until_found(engine, "secret number", set())


async def test_a_transaction_that_commits_late_is_not_missed(
    engine: MemoryEngine, stranger: AsyncConnection[Any]
) -> None:
    """Its rows are older than others that were read before it ended."""
    (seen,) = await engine.add([said("Secret number one.")], user_id="ann")
    await until_found(engine, "secret number", {seen.text})
    async with stranger.transaction():
        await stranger.execute(
            "INSERT INTO memory_entry SELECT user_id, gen_random_uuid(), agent_id, run_id, session_id, role, speaker,"
            " 'Secret number two.', metadata, created_at, updated_at, words, embedder, embedding FROM memory_entry"
        )
        (later,) = await engine.add([said("Secret number three.")], user_id="ann")
        assert await found(engine, "secret number") == {seen.text, later.text}
    await until_found(engine, "secret number", {seen.text, later.text, "Secret number two."})


async def test_an_exchange_is_found_as_soon_as_its_transaction_is_committed(start_engine: Any, pool: Pool) -> None:
    async with start_engine(None, SLOW_DRAIN) as engine:
        await engine.add([said("Secret number zero.")], user_id="ann")
        expected = {"Secret number zero."}
        for number in range(1, 30):
            text = f"Secret number {number}."
            async with pool.connection() as connection:
                await engine.enqueue([said(text)], user_id="ann", key=f"{number}", transaction=connection)
                assert await found(engine, "secret number") == expected
                if number % 3 == 0:
                    await connection.rollback()
            expected |= {text} if number % 3 else set()
            assert await found(engine, "secret number") == expected


async def test_what_another_program_left_behind_is_found(start_engine: Any, pool: Pool) -> None:
    """It put something into the outbox and was killed."""
    never = EngineOptions(drain=DrainOptions(owners=0))
    async with start_engine(None, never) as killed, start_engine(None, never) as engine:
        await engine.add([said("Secret number one.")], user_id="ann")
        await until_found(engine, "secret number", {"Secret number one."})
        await killed.enqueue([said("Secret number two.")], user_id="ann")
        await until_found(engine, "secret number", {"Secret number one.", "Secret number two."})


async def test_without_word_of_changes_nothing_old_is_told(
    engine: MemoryEngine, stranger: AsyncConnection[Any]
) -> None:
    (fact,) = await engine.add([said("Secret number one.")], user_id="ann")
    await until_found(engine, "secret number", {fact.text})
    cache = cache_of(engine)
    for number in range(3):
        # Whoever listens asks nothing but this.
        await stranger.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query IN ('LISTEN memory_changed', 'SELECT 1') AND pid <> pg_backend_pid()"
        )
        await until(lambda: not cache._listening)
        await stranger.execute("UPDATE memory_entry SET text = %s", (f"Secret number {number}.",))
        while not cache._listening:
            assert await found(engine, "secret number") == {f"Secret number {number}."}
        await until_found(engine, "secret number", {f"Secret number {number}."})
        await stranger.execute("UPDATE memory_entry SET text = 'Secret number again.'")
        await until_found(engine, "secret number", {"Secret number again."})


async def test_who_does_not_hear_himself_keeps_nothing(
    start_engine: Any, stranger: AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind something that hands one connection to many: it listens for us and tells us nothing."""

    @asynccontextmanager
    async def unheard(_pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
        async with await AsyncConnection.connect(stranger.info.dsn, dbname="postgres", autocommit=True) as elsewhere:
            yield elsewhere

    monkeypatch.setattr(changes, "reading", unheard)
    monkeypatch.setattr(changes, "ChangeOptions", partial(changes.ChangeOptions, check_timeout_s=0.2))
    async with start_engine() as engine:
        await engine.add([said("Secret number one.")], user_id="ann")
        assert await found(engine, "secret number") == {"Secret number one."}
        await stranger.execute("UPDATE memory_entry SET text = 'Secret number two.'")
        assert await found(engine, "secret number") == {"Secret number two."}
        assert not is_at_hand(engine, "ann")

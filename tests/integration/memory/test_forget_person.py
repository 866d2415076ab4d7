"""A person who is forgotten leaves nothing: in no table, no cache and no queue, whatever is being written meanwhile."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from tests.integration.memory.conftest import StartEngine, StartGathering
from tests.integration.memory.transfer_world import NOON, Pool, everything, exported, rows, saved_alone, whole_life
from tests.support.redis_server import redis_server
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    EngineOptions,
    Mem0aiMemory,
    MemoryEngine,
    ProviderOptions,
    SearchOptions,
)
from xiaozhi_server.core.providers.memory.mem0ai.errors import ForgottenMeanwhileError
from xiaozhi_server.core.providers.memory.mem0ai.finding.recall_cache_redis import RedisCache
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.transfer import person
from xiaozhi_server.core.providers.memory.mem0ai.transfer.person import StillTalkingError
from xiaozhi_server.core.providers.memory.mem0ai.transfer.scan import Place, scan_objects, scan_redis, scan_tables

WORD = "Zanzibar"  # is planted in whatever a person says


def spoken(text: str) -> SpokenMessage:
    return SpokenMessage("user", text, datetime.now(UTC))


async def places(pool: Pool, *words: str, **options: Any) -> list[Place]:
    async with pool.connection() as connection:
        return await scan_tables(connection, words or (WORD,), **options)


async def leaves_nothing(pool: Pool, engine: MemoryEngine, user_id: str = "zoe-7") -> None:
    assert await places(pool, WORD, user_id) == []
    await lets_go(engine, WORD)


async def lets_go(root: object, *words: str) -> None:
    """What is being read at this moment is held a little longer."""
    await until(lambda: not scan_objects(root, words))


async def test_every_row_of_every_table_goes_and_nobody_elses(engine: MemoryEngine, pool: Pool) -> None:
    await whole_life(engine, pool, "zoe-7", WORD)
    await whole_life(engine, pool, "bob", "teal")
    before = await everything(pool, "bob")
    assert {place.where.partition(".")[2] for place in await places(pool)} >= {
        "memory_entry.text", "memory_entry.metadata", "memory_history.old_text", "memory_history.new_text",
        "memory_summary.text", "memory_outbox.messages",
    }  # fmt: skip
    removed = await engine.forget_person(user_id="zoe-7")
    assert removed == {
        "memory_entry": 19, "memory_history": 2, "memory_link": 1, "memory_outbox": 1, "memory_relation": 1,
        "memory_summary": 1, "memory_thing": 2,
    }  # fmt: skip
    await leaves_nothing(pool, engine)
    assert await everything(pool, "bob") == before
    assert len(await rows(pool, "memory_outbox", "bob")) == 1
    assert await engine.forget_person(user_id="zoe-7") == {}
    assert await engine.forget(user_id="nobody") == 0


async def test_done_dead_and_platform_entries_go_too(engine: MemoryEngine, pool: Pool) -> None:
    message = json.dumps([{"role": "user", "content": WORD, "spoken_at": NOON.isoformat()}])
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO memory_outbox (user_id, key, state, messages, due_at) VALUES"
            " ('zoe-7', 'Zanzibar-1', 'done', NULL, now()), ('zoe-7', 'Zanzibar-2', 'dead', %s, now()),"
            " ('zoe-7', 'Zanzibar-3', 'waiting', %s, now() + interval '1 day')",
            (message, message),
        )
        await connection.execute(
            "INSERT INTO memory_platform (user_id, key, send_id) VALUES ('zoe-7', 'Zanzibar-3', 'x')"
        )
    assert await engine.forget_person(user_id="zoe-7") == {"memory_outbox": 3, "memory_platform": 1}
    await leaves_nothing(pool, engine)


async def test_a_table_of_mem0_in_this_database_is_emptied_of_them(engine: MemoryEngine, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("CREATE TABLE mem0 (id uuid PRIMARY KEY, vector vector(3), payload jsonb)")
        for user_id in ("zoe-7", "zoe-7", "bob"):
            payload = json.dumps({"user_id": user_id, "data": WORD if user_id == "zoe-7" else "teal"})
            await connection.execute("INSERT INTO mem0 VALUES (gen_random_uuid(), '[1,2,3]', %s)", (payload,))
    assert await engine.forget_person(user_id="zoe-7") == {"mem0": 2}
    await leaves_nothing(pool, engine)
    assert len(await places(pool, "teal")) == 1


async def test_every_table_of_ours_names_its_owner_or_nobody(engine: MemoryEngine, pool: Pool) -> None:
    """Whoever makes a table must say how a person gets out of it."""
    async with pool.connection() as connection:
        known = {table.shown for table in await person._tables(connection)}
        cursor = await connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'memory\\_%%'"
        )
        there = {row[0] for row in await cursor.fetchall()}
    assert there - known <= {
        "memory_migration",
        "memory_embedder",
        "memory_forgotten",
        "memory_run",
        "memory_adopted",
        "memory_extraction_task",  # what it tells of users is memory_extraction_report
        "memory_platform_doubt",
    }


async def test_what_was_said_before_comes_too_late_for_ever(engine: MemoryEngine, pool: Pool) -> None:
    old = spoken(f"I live in {WORD}.")
    await engine.enqueue([old], user_id="zoe-7", key="turn-1")
    await engine.forget(user_id="zoe-7")
    assert not await engine.enqueue([old], user_id="zoe-7", key="turn-1")
    assert not await engine.enqueue([old, spoken("And I like teal.")], user_id="zoe-7", key="turn-2")
    with pytest.raises(ForgottenMeanwhileError):
        await engine.add([old], user_id="zoe-7")
    await leaves_nothing(pool, engine)
    assert await engine.enqueue([spoken("I like teal.")], user_id="zoe-7", key="turn-3")
    await until(lambda: engine.get_all(user_id="zoe-7"))
    assert await engine.enqueue([old], user_id="bob")
    await until(lambda: engine.get_all(user_id="bob"))


async def test_an_import_brings_a_forgotten_person_back(engine: MemoryEngine, pool: Pool) -> None:
    await whole_life(engine, pool, "zoe-7", WORD)
    content = saved_alone(await exported(engine, user_id="zoe-7"))
    before = await everything(pool, "zoe-7")
    await engine.forget(user_id="zoe-7")
    done = await engine.imported(io.BytesIO(content))
    assert done.refused == 0
    assert await everything(pool, "zoe-7") == before


async def test_a_batch_that_is_being_saved_at_this_moment_is_not_written(
    start_gathering: StartGathering, pool: Pool
) -> None:
    async with start_gathering(BatchPolicy(idle_s=0.0, parallel=2), tar=WORD) as (engine, saver):
        await engine.enqueue([spoken(f"I live in {WORD}.")], user_id="zoe-7", agent_id="bot")
        await saver.has_got(1)  # it holds the batch
        await engine.forget(user_id="zoe-7")
        saver.released.set()
        await engine.enqueue([spoken("I like teal.")], user_id="zoe-7", agent_id="bot")
        await until(lambda: engine.get_all(user_id="zoe-7"))
        assert [one.text for one in await engine.get_all(user_id="zoe-7")] == ["I like teal."]
        assert await places(pool, WORD) == []


async def test_a_transaction_that_is_open_is_waited_for(engine: MemoryEngine, pool: Pool) -> None:
    """An exchange that is written but not committed when somebody is forgotten."""
    async with pool.connection() as connection, connection.transaction():
        await engine.enqueue([spoken(f"I live in {WORD}.")], user_id="zoe-7", key="turn-1", transaction=connection)
        forgetting = asyncio.create_task(engine.forget(user_id="zoe-7"))
        await until(lambda: waits_for_lock(pool))
        assert not forgetting.done()
    await forgetting
    await leaves_nothing(pool, engine)


async def test_an_add_that_still_embeds_comes_too_late(start_engine: StartEngine, pool: Pool) -> None:
    class Slow(WordEmbedder):
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def embed(self, texts: Any) -> Any:
            if WORD in texts[0]:
                self.begun.set()
                await self.may_end.wait()
            return await super().embed(texts)

    async with start_engine(Slow()) as engine:
        adding = asyncio.create_task(engine.add([spoken(f"{WORD} is far.")], user_id="zoe-7"))
        await Slow.begun.wait()
        await engine.forget(user_id="zoe-7")
        Slow.may_end.set()
        with pytest.raises(ForgottenMeanwhileError):
            await adding
        await leaves_nothing(pool, engine)


async def waits_for_lock(pool: Pool) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'")
        row = await cursor.fetchone()
    return bool(row and row[0])


async def test_a_change_that_is_open_leaves_no_history(engine: MemoryEngine, pool: Pool) -> None:
    """Somebody deletes a memory at the same time: its text is on its way into the history."""
    (memory,) = await engine.add([spoken(f"I live in {WORD}.")], user_id="zoe-7")
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("DELETE FROM memory_entry WHERE user_id = 'zoe-7' AND id = %s", (memory.id,))
        forgetting = asyncio.create_task(engine.forget(user_id="zoe-7"))
        await until(lambda: waits_for_row(pool))
        await connection.execute(
            "INSERT INTO memory_history (user_id, memory_id, event, old_text, role, created_at)"
            " VALUES ('zoe-7', %s, 'DELETE', %s, 'user', now())",
            (memory.id, memory.text),
        )
    await forgetting
    await leaves_nothing(pool, engine)


async def waits_for_row(pool: Pool) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        )
        row = await cursor.fetchone()
    return bool(row and row[0])


async def test_who_holds_on_for_too_long_is_told(
    engine: MemoryEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person, "_LIMITS", "SET LOCAL lock_timeout = '50ms'")
    monkeypatch.setattr(person, "_PAUSE_S", 0.01)
    await engine.add([spoken("I like teal.")], user_id="zoe-7")
    async with pool.connection() as connection, connection.transaction():
        await engine.enqueue([spoken(WORD)], user_id="zoe-7", key="turn-1", transaction=connection)
        with pytest.raises(StillTalkingError):
            await engine.forget(user_id="zoe-7")
    assert len(await engine.get_all(user_id="zoe-7")) >= 1


@pytest.mark.parametrize("policy", [None, BatchPolicy(idle_s=0.0, exchanges=3, parallel=4)])
async def test_a_person_is_forgotten_while_they_talk(
    start_engine: StartEngine, start_gathering: StartGathering, pool: Pool, policy: BatchPolicy | None
) -> None:
    """Again and again: exchanges come in by all ways without a pause, two programs save them, and somebody asks."""
    starting = start_engine() if policy is None else start_gathering(policy)
    async with starting as started, start_engine() as other:
        engine = started if policy is None else started[0]
        for round_ in range(5):
            word = f"{WORD}{round_}x"
            talking = [asyncio.create_task(talk(one, pool, word)) for one in (engine, other)]
            await until(lambda: engine.get_all(user_id="zoe-7"))
            await asyncio.gather(
                engine.forget(user_id="zoe-7"), *([other.forget(user_id="zoe-7")] if round_ % 2 else [])
            )
            await asyncio.gather(*talking)
            await until(lambda: is_saved(engine))
            left = [one.text for one in await engine.get_all(user_id="zoe-7", top_k=1000)]
            said_at = [datetime.fromisoformat(text.rpartition(" ")[2]) for text in left]
            async with pool.connection() as connection:
                cursor = await connection.execute(
                    "SELECT forgotten_at FROM memory_forgotten WHERE owner = memory_owner('zoe-7')"
                )
                row = await cursor.fetchone()
            assert row is not None
            assert all(at > row[0] for at in said_at)
            await engine.forget(user_id="zoe-7")
            assert await places(pool, WORD, "zoe-7") == []
            for one in (engine, other):
                await lets_go(one, WORD)


async def talk(engine: MemoryEngine, pool: Pool, word: str) -> None:
    """For a while: exchanges in transactions of their own and of others, texts kept at once, questions."""
    for number in range(18):
        now = datetime.now(UTC)
        message = SpokenMessage("user", f"I was in {word} {number} {now.isoformat()}", now)
        match number % 3:
            case 0:
                await engine.enqueue([message], user_id="zoe-7", agent_id="bot")
            case 1:
                async with pool.connection() as connection, connection.transaction():
                    await engine.enqueue([message], user_id="zoe-7", agent_id="bot", transaction=connection)
            case _:
                try:
                    await engine.add([message], user_id="zoe-7", agent_id="bot")
                except ForgottenMeanwhileError:
                    continue
        await engine.search("Where was I?", user_id="zoe-7")


async def is_saved(engine: MemoryEngine) -> bool:
    return (await engine.depth()).waiting == 0


async def test_what_programs_keep_at_hand_goes_at_once(start_engine: StartEngine, pool: Pool) -> None:
    """In the process that forgets, and in another one: indexes, late answers, questions."""
    async with start_engine() as one, start_engine() as other:
        await one.add([spoken(f"I live in {WORD}.")], user_id="zoe-7")
        providers = []
        for engine in (one, other):
            assert await engine.search(f"Where is {WORD}?", user_id="zoe-7")
            provider = Mem0aiMemory(engine, ProviderOptions(late_s=600.0))
            await provider.init_memory("zoe-7")
            assert await provider.recall("late", 3, 0.0) == []
            await until(partial(scan_objects, provider._late, [WORD]))
            providers.append(provider)
            assert scan_objects(engine, [WORD])
            assert scan_objects(provider._late, [WORD])
        await one.forget(user_id="zoe-7")
        for engine, provider in zip((one, other), providers, strict=True):
            await lets_go(engine, WORD, "zoe-7")
            await lets_go(provider._late, WORD)
            await provider.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with redis_server() as port:
        yield port


@pytest.fixture
async def caches(port: int) -> AsyncIterator[list[RedisCache]]:
    made = [RedisCache(f"redis://127.0.0.1:{port}") for _ in range(2)]
    yield made
    for cache in made:
        await cache.close()


async def test_answers_in_redis_go_too(
    start_engine: StartEngine, caches: list[RedisCache], port: int, pool: Pool, executor: ThreadPoolExecutor
) -> None:
    url = f"redis://127.0.0.1:{port}/0"
    options = [EngineOptions(search=SearchOptions(cache=cache)) for cache in caches]
    async with start_engine(None, options[0]) as one, start_engine(None, options[1]) as other:
        await one.add([spoken(f"I live in {WORD}.")], user_id="zoe-7")
        await until(lambda: is_kept(other, url))
        assert [place.where for place in await scan_redis(url, [WORD])] == ["Redis"]
        await one.forget(user_id="zoe-7")
        await until(lambda: is_empty(url))
        assert await other.search(f"Where is {WORD}?", user_id="zoe-7") == []
        assert await scan_redis(url, [WORD, "zoe-7"]) == []


async def is_kept(engine: MemoryEngine, url: str) -> bool:
    await engine.search(f"Where is {WORD}?", user_id="zoe-7")
    return bool(await scan_redis(url, [WORD]))


async def is_empty(url: str) -> bool:
    return await scan_redis(url, [WORD]) == []


async def test_a_large_memory_leaves_no_index_that_names_its_owner(start_engine: StartEngine, pool: Pool) -> None:
    options = EngineOptions(search=SearchOptions(index_rows_max=50, index_page=20), drain=DrainOptions())
    async with start_engine(None, options) as engine:
        await engine.add([spoken(f"{WORD} number {number}.") for number in range(120)], user_id="zoe-7")

        async def is_large() -> bool:
            await engine.search("number", user_id="zoe-7")
            return engine._searcher is not None and engine._searcher._large.ready("zoe-7")

        await until(is_large)
        assert "definitions of indexes" in {place.where for place in await places(pool, "zoe-7")}
        removed = await engine.forget_person(user_id="zoe-7")
        assert (removed["memory_entry"], removed["memory_large"]) == (120, 1)
        await leaves_nothing(pool, engine, "zoe-7")
        await lets_go(engine, "zoe-7")


async def test_persons_of_a_household_are_known(engine: MemoryEngine, pool: Pool) -> None:
    for owner in ("house-1", "house-1/person:anna", "house-1/person:tom", "house-12/person:eve"):
        await engine.add([spoken("I like teal.")], user_id=owner)
    async with pool.connection() as connection:
        assert await person.persons(connection, "house-1") == ["house-1/person:anna", "house-1/person:tom"]
        assert await person.present(connection, "house-1") == {"memory_entry": 1}


async def test_the_scan_finds_words_wherever_they_are(engine: MemoryEngine, pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "CREATE TABLE odd (a varchar(90), b text[], c jsonb, d bytea, e name, g integer, user_id text);"
            "INSERT INTO odd VALUES ('100%_sure \\ zan', '{zan}', '{\"k\": [\"ZAN\"]}', 'zan', 'zan', 7, 'zoe-7')"
        )
    found = {place.where: place.count for place in await places(pool, "zan")}
    assert set(found) == {f"public.odd.{column}" for column in "abcde"}
    assert await places(pool, "100%_sure \\") == [Place("public.odd.a", 1)]
    assert await places(pool, "100_sure") == []
    assert await places(pool, "zan", but_of_others="bob") == []
    assert len(await places(pool, "zan", but_of_others="zoe-7")) == 5

"""What is not true any more is recalled where it is asked for, by words, by a time or by a filter, and never else."""

import random
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.household import Household, days_ago, texts
from tests.integration.memory.test_index import AT_HAND, BY_STATEMENT, assert_same, fill
from tests.integration.memory.test_index_large import LARGE, assert_much_the_same, becomes_large
from tests.integration.memory.test_index_large import impatient as impatient
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import Mem0aiMemory, MemoryEngine, ProviderOptions, SearchOptions

Pool = AsyncConnectionPool[AsyncConnection[Any]]
MUNICH, BERLIN = "I live in Munich near the river.", "I live in Berlin near the river."
OLD_NUMBER, NEW_NUMBER = "My phone number is 111 222.", "My phone number is 333 444."
WAYS = ("at hand", "by statement", "nothing kept")
NOW_QUESTIONS = ("Where do I live?", "What is my phone number?", "Which river?", "What do you know about me?")
PAST_QUESTIONS = ("Where did I live before?", "Where did I use to live?", "我以前住在哪里？Munich", "Where did I live?")


def options(way: str) -> Any:
    if way == "by statement":
        return BY_STATEMENT
    return AT_HAND if way == "at hand" else replace(AT_HAND, search=SearchOptions(index_cache_mb=0))


@pytest.fixture(params=WAYS)
async def home(start_engine: Any, pool: Pool, request: pytest.FixtureRequest) -> Any:
    """Ann has moved, and has a new number."""
    async with start_engine(None, options(request.param)) as engine:
        home = Household(engine, pool)
        for number in range(3):
            await home.says(f"The weather was fine on walk {number}.", days=number)
        munich, berlin = await home.says(MUNICH, days=400), await home.says(BERLIN, days=30)
        await home.replaces(munich, berlin, since=800, until=30)
        old, new = await home.says(OLD_NUMBER, days=300), await home.says(NEW_NUMBER, days=10)
        await home.replaces(old, new, since=300, until=10)
        yield home


async def test_what_is_kept_for_the_next_question_is_as_it_was_found(home: Household) -> None:
    """Replaced since then it would be told as true."""
    found = await home.engine.search("Where did I live before?", user_id="ann")
    ids = [one.memory.id for one in found]
    replaced = [one.memory.id for one in found if one.memory.superseded_by is not None]
    assert len(replaced) == 2
    assert await home.engine.present(ids, user_id="ann") == set(ids) - set(replaced)
    assert await home.engine.present(ids, user_id="ann", replaced=replaced) == set(ids)
    assert await home.engine.present(ids, user_id="bob", replaced=replaced) == set()
    await home.engine.delete(replaced[0], user_id="ann")
    assert await home.engine.present(ids, user_id="ann", replaced=replaced) == set(ids) - {replaced[0]}


async def test_what_was_replaced_is_not_recalled_as_it_is_now(home: Household) -> None:
    for question in NOW_QUESTIONS:
        for asked in ({}, {"agent_id": "bot"}, {"filters": {"role": "user"}}):
            found = await texts(home.engine, question, **asked)
            assert not {MUNICH, OLD_NUMBER} & set(found)
            assert {BERLIN, NEW_NUMBER} <= set(found)


async def test_asked_how_it_was_the_old_comes_first_and_says_until_when(home: Household) -> None:
    for question in PAST_QUESTIONS:
        for asked in ({}, {"agent_id": "bot"}, {"filters": {"role": "user"}}):
            found = await home.engine.search(question, user_id="ann", **asked)
            assert found[0].memory.text == MUNICH
            assert found[0].memory.valid_to == days_ago(30)
            assert BERLIN in [one.memory.text for one in found]
    assert (await texts(home.engine, "What was my old phone number?"))[0] == OLD_NUMBER


async def test_the_lines_for_a_model_tell_them_apart(home: Household) -> None:
    memory = Mem0aiMemory(home.engine, ProviderOptions(deadline_s=5.0))
    await memory.init_memory("ann", agent_id="bot")
    lines = (await memory.query_memory("Where did I live before?")).splitlines()
    until_then = f"{days_ago(30).astimezone(UTC):%Y-%m-%d}"
    (old,) = [line for line in lines if "Munich" in line]
    (new,) = [line for line in lines if "Berlin" in line]
    assert old.endswith(f"] {MUNICH} (until {until_then})")
    assert new.endswith(f"] {BERLIN}")
    assert "Munich" not in await memory.query_memory("Where do I live?")
    await memory.close()


async def test_asked_for_a_time_only_what_was_true_then_comes_besides(home: Household) -> None:
    then = days_ago(200)
    found = await texts(home.engine, f"Where was my home near the river in {then:%B %Y}?")
    assert found[0] == MUNICH
    assert {OLD_NUMBER, BERLIN} <= set(found)
    early = days_ago(600)
    found = await texts(home.engine, f"Where was my home near the river in {early:%B %Y}?")
    assert found[0] == MUNICH
    assert OLD_NUMBER not in found
    ancient = days_ago(1500)
    found = await texts(home.engine, f"Where was my home near the river in {ancient:%B %Y}?")
    assert not {MUNICH, OLD_NUMBER} & set(found)
    assert BERLIN in found


async def test_a_filter_finds_what_was_replaced(home: Household) -> None:
    question = "Where do I live near the river?"
    assert set(await texts(home.engine, question, filters={"superseded_by": "*"})) == {MUNICH, OLD_NUMBER}
    assert set(await texts(home.engine, question, filters={"valid_to": {"lt": days_ago(20)}})) == {MUNICH}
    named = {"superseded_by": str((await home.engine.get_all(user_id="ann", filters={"text": BERLIN}))[0].id)}
    assert await texts(home.engine, question, filters=named) == [MUNICH]
    left = await texts(home.engine, question, filters={"superseded_by": None})
    assert BERLIN in left
    assert MUNICH not in left


async def test_what_a_summary_stands_for_comes_for_a_filter_alone(home: Household) -> None:
    summary = await home.says("I went for many walks by the river.", days=0.5)
    (walk,) = await home.engine.get_all(user_id="ann", filters={"text": "The weather was fine on walk 1."})
    await home.compresses(walk, summary)
    await until(lambda: gone(home.engine, walk.text))
    for question in (*NOW_QUESTIONS, *PAST_QUESTIONS):
        assert walk.text not in await texts(home.engine, question)
    (found,) = await home.engine.search("walk", user_id="ann", filters={"compressed_into": "*"})
    assert found.memory.id == walk.id
    assert found.memory.compressed_into == summary.id


async def gone(engine: MemoryEngine, text: str) -> bool:
    return text not in await texts(engine, "What was the weather?")


async def test_what_is_suspect_comes_for_a_filter_alone(home: Household) -> None:
    async with home.pool.connection() as connection:
        await connection.execute(
            "UPDATE memory_entry SET flag = 'unfounded' WHERE text = ANY (%s)", ([MUNICH, BERLIN],)
        )
    await until(lambda: gone(home.engine, BERLIN))
    for question in (*NOW_QUESTIONS, *PAST_QUESTIONS):
        assert not {MUNICH, BERLIN} & set(await texts(home.engine, question))
    question = "Where do I live near the river?"
    assert await texts(home.engine, question, filters={"flag": "unfounded"}) == [BERLIN]
    everything = {"flag": "*", "superseded_by": ["*", None]}
    assert BERLIN in await texts(home.engine, question, filters=everything)


async def test_what_has_run_out_never_comes(home: Household) -> None:
    async with home.pool.connection() as connection:
        await connection.execute("UPDATE memory_entry SET expires_at = now() WHERE superseded_by IS NOT NULL")
    await until(lambda: gone(home.engine, MUNICH))
    for question in PAST_QUESTIONS:
        assert MUNICH not in await texts(home.engine, question)
    assert await texts(home.engine, "Where do I live?", filters={"superseded_by": "*"}) == []


async def test_nobody_elses_past(home: Household) -> None:
    for scope in ({"user_id": "bob"}, {"user_id": "ann", "agent_id": "tutor"}, {"user_id": "ann", "run_id": "run"}):
        assert await texts(home.engine, "Where did I live before?", **scope) == []


async def test_a_single_change_is_heard_of(start_engine: Any, pool: Pool) -> None:
    """An owner at hand of whom nothing was replaced is asked without the database, until something is."""
    async with start_engine(None, AT_HAND) as engine:
        home = Household(engine, pool)
        munich, berlin = await home.says(MUNICH, days=400), await home.says(BERLIN, days=30)
        assert set(await texts(engine, "Where did I live before?")) == {BERLIN, MUNICH}
        assert not (await engine._searcher._cache.current("ann")).is_part
        await home.replaces(munich, berlin, since=800, until=30)
        await until(lambda: gone(engine, MUNICH))
        assert (await engine._searcher._cache.current("ann")).is_part
        assert await texts(engine, "Where did I live before?") == [MUNICH, BERLIN]


SEVERAL = (*NOW_QUESTIONS, *PAST_QUESTIONS, "Which book did I have before in the garden?", "What happened in May?")


async def replace_some(pool: Pool, dice: random.Random) -> None:
    """A third of all memories was replaced by the one said last, some knowing since when they had been true."""
    async with pool.connection() as connection:
        found = await (await connection.execute("SELECT user_id, id, created_at FROM memory_entry")).fetchall()
        newest = max(found, key=lambda row: row[2])[1]
        for user_id, id, created_at in found:
            if id != newest and dice.random() < 0.3:
                subtype = dice.choice(["", "semantic", "episodic"])
                values = (dice.choice([None, created_at]), newest, subtype, user_id, id)
                await connection.execute(
                    "UPDATE memory_entry SET valid_from = %s, valid_to = created_at + interval '40 days',"
                    " superseded_by = %s, subtype = %s WHERE user_id = %s AND id = %s",
                    values,
                )


@pytest.mark.parametrize("seed", range(3))
async def test_both_ways_give_the_same_answers(start_engine: Any, pool: Pool, seed: int) -> None:
    dice = random.Random(seed)
    async with start_engine(None, AT_HAND) as engine:
        await fill(engine, dice, "ann", sessions=dice.choice([3, 20]))
    await replace_some(pool, dice)
    async with start_engine(None, AT_HAND) as quick, start_engine(None, BY_STATEMENT) as slow:
        for question in SEVERAL:
            for asked in ({}, {"agent_id": "bot"}, {"filters": {"NOT": [{"role": "assistant"}]}}):
                ways = [await engine.search(question, user_id="ann", top_k=8, **asked) for engine in (quick, slow)]
                assert_same(*ways)
            if question in NOW_QUESTIONS:
                assert all(one.memory.superseded_by is None for one in ways[0])


async def test_a_large_owner_has_a_past_too(start_engine: Any, pool: Pool) -> None:
    async with start_engine(None, LARGE) as engine, start_engine(None, BY_STATEMENT) as exact:
        await fill(engine, random.Random(1), "ann", sessions=120)
        home = Household(engine, pool)
        munich, berlin = await home.says(MUNICH, days=400), await home.says(BERLIN, days=30)
        await home.replaces(munich, berlin, since=800, until=30)
        await becomes_large(engine)
        for question in PAST_QUESTIONS:
            ways = [await way.search(question, user_id="ann", top_k=5) for way in (engine, exact)]
            assert_much_the_same(*ways)
            assert ways[0][0].memory.text == MUNICH
        assert MUNICH not in await texts(engine, "Where do I live near the river in Munich?")

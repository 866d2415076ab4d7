"""What is known of people and things lifts recall: by all their names, by how they are related, and for nobody else."""

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.household import Household, texts
from tests.integration.memory.test_index import AT_HAND, BY_STATEMENT, assert_same, fill
from tests.integration.memory.test_index_large import LARGE, becomes_large
from tests.integration.memory.test_index_large import impatient as impatient
from tests.integration.memory.test_recall_of_the_past import WAYS, options
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, MiniLmEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]
HORSES, CHESS = "Anna loves horses.", "Plays chess on Sundays."
BREAD = "Tom bakes bread every morning."
OTHERS = ("I like tea.", "I like long trains.", "Otto likes soup.", "The garden has roses.", "My sister called today.")
SEVERAL = (
    "What does my sister like?",
    "What does Annie like?",
    "What does my sister's husband do?",
    "我姐姐喜欢什么？",
    "What do you know about me?",
    "What do Anna and Tom do in May?",
)


async def furnished(home: Household) -> Household:
    for number, text in enumerate(OTHERS):
        await home.says(text, days=number + 1)
    await home.knows("I")
    await home.knows("Anna", "Annie", "安娜")
    await home.knows("Tom")
    sister = await home.says("My sister is Anna.", days=40, about=["Anna"])
    await home.says(HORSES, days=30, about=["Anna"])
    await home.says(CHESS, days=20, about=["Anna"])
    await home.says(BREAD, days=25, about=["Tom"])
    await home.relates("Anna", "older sister", "I", sister)
    await home.relates("Tom", "husband", "Anna")
    return home


@pytest.fixture(params=WAYS)
async def home(
    start_engine: Any, pool: Pool, minilm: MiniLmEmbedder, request: pytest.FixtureRequest
) -> AsyncIterator[Household]:
    async with start_engine(minilm, options(request.param)) as engine:
        yield await furnished(Household(engine, pool))


async def first(engine: MemoryEngine, question: str, count: int, **asked: Any) -> set[str]:
    return set((await texts(engine, question, **asked))[:count])


async def test_a_relation_finds_what_is_known_of_whom_it_leads_to(home: Household) -> None:
    await until(lambda: comes(home.engine, "What does my sister like?", CHESS, among=4))
    for question in ("What does my sister like?", "我姐姐喜欢什么？", "what does the sister like"):
        assert {HORSES, CHESS} <= await first(home.engine, question, 4, agent_id="bot")
    assert await first(home.engine, "What does my sister's husband do?", 1) == {BREAD}
    assert CHESS not in await first(home.engine, "What do I like?", 3)


async def comes(engine: MemoryEngine, question: str, text: str, *, among: int, **asked: Any) -> bool:
    return text in await first(engine, question, among, **asked)


async def test_any_name_finds_what_was_said_under_another(home: Household) -> None:
    await until(lambda: comes(home.engine, "What does Annie like?", HORSES, among=1))
    assert {HORSES, CHESS} <= await first(home.engine, "What does Annie like?", 3)
    assert {HORSES, CHESS} <= await first(home.engine, "安娜喜欢什么？", 3)


async def test_nobody_elses_things_lift(home: Household) -> None:
    """Another owner's, and another agent's: all three say and know the same, but only of one is Anna the sister."""
    lone = []
    for user_id, agent_id in (("bob", "bot"), ("ann", "tutor")):
        other = Household(home.engine, home.pool, user_id, agent_id)
        lone.append(other)
        for text in (*OTHERS, HORSES, CHESS, BREAD):
            await other.says(text, days=3)
    question = "What does my sister like?"
    await until(lambda: comes(home.engine, question, CHESS, among=3, agent_id="bot"))
    for other in lone:
        asked: dict[str, Any] = {"user_id": other.user_id, "agent_id": other.agent_id}
        found = await home.engine.search(question, **asked)
        assert {one.memory.user_id for one in found} == {other.user_id}
        assert {one.memory.agent_id for one in found} == {other.agent_id}
        assert CHESS not in {one.memory.text for one in found[:4]}
    # Bob comes to know of his own Anna: of nobody else's memories anything changes.
    before = await home.engine.search(question, user_id="ann", agent_id="tutor")
    await lone[0].knows("I")
    await lone[0].knows("Anna")
    await lone[0].relates("Anna", "sister", "I")
    await until(lambda: comes(home.engine, question, HORSES, among=3, user_id="bob"))
    assert_same(await home.engine.search(question, user_id="ann", agent_id="tutor"), before)


async def test_who_may_read_what_another_agent_heard_knows_its_people_too(home: Household) -> None:
    question = "What does my sister like?"
    assert await texts(home.engine, question, agent_id="tutor") == []
    await home.engine.share(user_id="ann", agent_id="tutor", from_agent="bot", done_by="test")
    await until(lambda: comes(home.engine, question, CHESS, among=4, agent_id="tutor"))
    assert await first(home.engine, question, 4, agent_id="tutor") == await first(home.engine, question, 4)
    also = await first(home.engine, question, 4, agent_id="other", also_agents=("bot",))
    assert also == await first(home.engine, question, 4)


async def test_with_its_memory_a_relation_is_gone(home: Household) -> None:
    question = "What does my sister like?"
    await until(lambda: comes(home.engine, question, CHESS, among=3))
    (said,) = await home.engine.get_all(user_id="ann", filters={"text": "My sister is Anna."})
    await home.engine.delete(said.id, user_id="ann")
    assert CHESS not in await first(home.engine, question, 3)
    assert CHESS in await first(home.engine, "What does Anna like?", 3)


async def test_a_relation_that_has_ended_counts_for_the_past_alone(home: Household) -> None:
    await home.knows("Gus")
    await home.says("Gus collects stamps.", days=50, about=["Gus"])
    await home.relates("Gus", "boss", "I", until=5)
    await until(lambda: comes(home.engine, "What does Gus collect?", "Gus collects stamps.", among=1))
    then, now = [
        {one.memory.text: one.score for one in await home.engine.search(question, user_id="ann")}[
            "Gus collects stamps."
        ]
        for question in ("Who was my previous boss?", "Who is my boss?")
    ]
    assert now < 0.3 < then


async def test_of_a_forgotten_person_nothing_is_known(home: Household) -> None:
    await home.engine.forget(user_id="ann")
    assert await texts(home.engine, "What does my sister like?") == []
    async with home.pool.connection() as connection:
        for table in ("memory_thing", "memory_link", "memory_relation"):
            cursor = await connection.execute(f"SELECT count(*) FROM {table}".encode())
            assert await cursor.fetchone() == (0,)


async def link_some(home: Household, dice: random.Random) -> None:
    async with home.pool.connection() as connection:
        cursor = await connection.execute("SELECT id FROM memory_entry WHERE user_id = %s", (home.user_id,))
        for (id,) in await cursor.fetchall():
            for name in ("Anna", "Tom"):
                if dice.random() < 0.2:
                    await connection.execute(
                        "INSERT INTO memory_link VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                        (home.user_id, id, home.things[name]),
                    )


@pytest.mark.parametrize("seed", range(3))
async def test_both_ways_give_the_same_answers(start_engine: Any, pool: Pool, seed: int) -> None:
    dice = random.Random(seed)
    async with start_engine(None, AT_HAND) as engine:
        home = await furnished(Household(engine, pool))
        await fill(engine, dice, "ann", sessions=dice.choice([3, 20]))
    await link_some(home, dice)
    async with start_engine(None, AT_HAND) as quick, start_engine(None, BY_STATEMENT) as slow:
        for question in SEVERAL:
            for asked in (
                {},
                {"agent_id": "bot"},
                {"agent_id": "tutor"},
                {"filters": {"NOT": [{"role": "assistant"}]}},
            ):
                assert_same(
                    *[await engine.search(question, user_id="ann", top_k=8, **asked) for engine in (quick, slow)]
                )


async def test_a_large_owner_has_people_too(start_engine: Any, pool: Pool, minilm: MiniLmEmbedder) -> None:
    async with start_engine(minilm, LARGE) as engine:
        await fill(engine, random.Random(1), "ann", sessions=120)
        home = await furnished(Household(engine, pool))
        await becomes_large(engine)
        assert {HORSES, CHESS} <= await first(engine, "What does my sister like?", 6, agent_id="bot")
        assert await comes(engine, "What does my sister's husband do?", BREAD, among=2)
        await home.knows("Gus")  # heard of at once, without being at hand
        await home.says("Collects stamps.", about=["Gus"])
        assert await comes(engine, "What does Gus do?", "Collects stamps.", among=2)

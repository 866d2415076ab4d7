"""The engine on a real database: saved safely, found at once, never another's, gone when forgotten."""

import asyncio
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    EngineOptions,
    InvalidIdError,
    MemoryEngine,
    MiniLmEmbedder,
    OutboxFullError,
)
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
QUICK = EngineOptions(drain=DrainOptions(first_retry_s=0.05, longest_retry_s=0.1, lease_s=1.0, attempts_max=3))


def said(text: str, *, role: Any = "user", minutes_ago: float = 1.0) -> SpokenMessage:
    return SpokenMessage(role, text, NOW - timedelta(minutes=minutes_ago))


class BrokenEmbedder(WordEmbedder):
    """Fails while `broken` holds; then works. Notes what it was asked for."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.asked: list[list[str]] = []
        self.asked_often = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked.append(list(texts))
        if len(self.asked) > 3:
            self.asked_often.set()
        if any(self.broken in text for text in texts):
            raise RuntimeError("the embedder is ill")
        return await super().embed(texts)


async def drained(engine: MemoryEngine, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)


async def texts_of(engine: MemoryEngine, user_id: str, **scope: Any) -> list[str]:
    return [memory.text for memory in await engine.get_all(user_id=user_id, **scope)]


async def found(engine: MemoryEngine, query: str, user_id: str, **scope: Any) -> list[str]:
    return [one.memory.text for one in await engine.search(query, user_id=user_id, **scope)]


async def test_what_is_accepted_becomes_memories_within_a_second(engine: MemoryEngine) -> None:
    messages = [said("My favourite colour is teal."), said("Noted!", role="assistant"), said("")]
    assert await engine.enqueue(messages, user_id="ann", agent_id="bot", session_id="s1", key="k1")
    await drained(engine, 1.0)
    newest = await engine.get_all(user_id="ann", agent_id="bot")
    assert {(one.role, one.text, one.session_id) for one in newest} == {
        ("user", "My favourite colour is teal.", "s1"),
        ("assistant", "Noted!", "s1"),
    }
    assert newest[0].created_at == messages[0].spoken_at
    assert await engine.get(newest[0].id, user_id="ann") == newest[0]


async def test_an_entry_shares_the_fate_of_its_transaction(engine: MemoryEngine, pool: Pool) -> None:
    async with pool.connection() as connection:
        await engine.enqueue([said("I like teal.")], user_id="ann", transaction=connection)
        await connection.rollback()
    async with pool.connection() as connection:
        await engine.enqueue([said("I like plums.")], user_id="ann", transaction=connection)
        assert await found(engine, "like", "ann") == []
    await drained(engine, 1.0)
    assert await texts_of(engine, "ann") == ["I like plums."]


async def test_the_same_key_is_saved_once(engine: MemoryEngine) -> None:
    for _ in range(2):
        await engine.enqueue([said("I like teal.")], user_id="ann", key="turn-1")
    await drained(engine)
    assert not await engine.enqueue([said("I like teal.")], user_id="ann", key="turn-1")
    assert await engine.enqueue([said("I like plums.")], user_id="bob", key="turn-1")
    await drained(engine)
    assert await texts_of(engine, "ann") == ["I like teal."]
    assert await texts_of(engine, "bob") == ["I like plums."]


async def test_what_still_waits_is_found_by_its_words(start_engine: Any) -> None:
    async with start_engine(BrokenEmbedder(), QUICK) as engine:
        await engine.enqueue([said("My favourite colour is teal.")], user_id="ann", agent_id="bot")
        await engine.enqueue([said("我最喜欢的颜色是青色。")], user_id="ann", agent_id="bot")
        assert (await found(engine, "What is my favourite colour?", "ann", agent_id="bot"))[0] == (
            "My favourite colour is teal."
        )
        assert (await found(engine, "我喜欢什么颜色？", "ann", agent_id="bot"))[0] == "我最喜欢的颜色是青色。"
        assert await found(engine, "colour", "ann", agent_id="other") == []
        assert await found(engine, "colour", "bob") == []


async def test_no_moment_in_which_a_saved_text_is_not_found_or_found_twice(engine: MemoryEngine) -> None:
    for number in range(20):
        await engine.enqueue([said(f"Parcel {number} has arrived.")], user_id="ann")
        for _ in range(3):
            hits = await found(engine, f"parcel {number}", "ann")
            assert hits.count(f"Parcel {number} has arrived.") == 1


async def test_a_failing_embedder_delays_and_loses_nothing(start_engine: Any) -> None:
    embedder = BrokenEmbedder()
    options = EngineOptions(drain=DrainOptions(first_retry_s=0.05, longest_retry_s=0.05, attempts_max=10_000))
    async with start_engine(embedder, options) as engine:
        for number in range(3):
            await engine.enqueue([said(f"Fact {number}.", minutes_ago=-number)], user_id="ann", key=str(number))
        await embedder.asked_often.wait()
        embedder.broken = "nothing at all"
        await drained(engine)
        assert await texts_of(engine, "ann") == ["Fact 2.", "Fact 1.", "Fact 0."]
        # Never overtaken: the later ones were not even tried before the first was saved.
        tries = [text for asked in embedder.asked for text in asked if text.startswith("Fact")]
        assert tries == sorted(tries)


async def test_one_bad_entry_does_not_hold_up_others_and_is_kept(start_engine: Any) -> None:
    async with start_engine(BrokenEmbedder("poison"), QUICK) as engine:
        await engine.enqueue([said("This is poison.")], user_id="ann")
        await engine.enqueue([said("Fine by me.")], user_id="bob")
        await engine.enqueue([said("Fine as well.")], user_id="ann")
        await drained(engine)
        assert await texts_of(engine, "bob") == ["Fine by me."]
        assert await texts_of(engine, "ann") == ["Fine as well."]
        depth = await engine.depth()
        assert (depth.waiting, depth.dead) == (0, 1)
        assert "This is poison." in await found(engine, "poison", "ann")


async def test_an_owner_cannot_fill_the_outbox(start_engine: Any, pool: Pool) -> None:
    options = EngineOptions(unsaved_limit=3, drain=DrainOptions(first_retry_s=60))
    async with start_engine(BrokenEmbedder(), options) as engine:
        for number in range(3):
            await engine.enqueue([said("x")], user_id="ann", key=str(number))
        async with pool.connection() as connection:
            with pytest.raises(OutboxFullError):
                await engine.enqueue([said("x")], user_id="ann", transaction=connection)
            await connection.execute("SELECT 1")  # the caller's transaction is still good
        assert not await engine.enqueue([said("x")], user_id="ann", key="1")
        assert await engine.enqueue([said("x")], user_id="bob")


async def test_two_engines_on_one_database_share_the_work(start_engine: Any) -> None:
    async with start_engine() as one, start_engine() as other:
        for number in range(40):
            engine = (one, other)[number % 2]
            await engine.enqueue([said(f"Fact {number}.")], user_id=f"owner-{number % 5}", key=str(number))
        await drained(one)
        saved = [text for owner in range(5) for text in await texts_of(one, f"owner-{owner}")]
        assert sorted(saved) == sorted(f"Fact {number}." for number in range(40))


async def test_a_lost_database_connection_heals(engine: MemoryEngine, pool: Pool, database_dsn: str) -> None:
    await engine.enqueue([said("Before.", minutes_ago=2)], user_id="ann")
    await drained(engine)
    async with await AsyncConnection.connect(database_dsn, autocommit=True) as killer:
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    async with asyncio.timeout(30):
        while True:
            try:
                await engine.enqueue([said("After.")], user_id="ann", key="after")
                break
            except Exception:
                await asyncio.sleep(0.05)
    await drained(engine)
    assert await texts_of(engine, "ann") == ["After.", "Before."]


async def test_everybody_sees_only_their_own(engine: MemoryEngine) -> None:
    rng = random.Random(7)
    owners, agents = ["ann", "bob", "cid%", "_", "ann'--"], ["bot", "tutor"]
    expected: dict[tuple[str, str], set[str]] = {}
    for number in range(120):
        owner, agent = rng.choice(owners), rng.choice(agents)
        text = f"The secret word number {number} is {uuid.UUID(int=rng.getrandbits(128)).hex[:6]}."
        save = engine.add if number % 2 else engine.enqueue
        await save([said(text)], user_id=owner, agent_id=agent)
        expected.setdefault((owner, agent), set()).add(text)
        if number % 10 == 9:
            await engine.delete_all(user_id=owner, agent_id=agent)
            expected[owner, agent] = set()
    for owner in owners:
        for agent in agents:
            hits = await engine.search("secret word number", user_id=owner, agent_id=agent, top_k=200)
            assert {hit.memory.text for hit in hits} == expected.get((owner, agent), set())
    await drained(engine)
    for (owner, agent), texts in expected.items():
        assert set(await texts_of(engine, owner, agent_id=agent)) == texts
        for other in owners:
            for memory in await engine.get_all(user_id=owner, agent_id=agent):
                assert (await engine.get(memory.id, user_id=other) is not None) == (other == owner)


@pytest.mark.parametrize("bad", ["*", "", " ", None, 7])
async def test_ids_that_name_nobody_touch_nothing(engine: MemoryEngine, bad: Any) -> None:
    await engine.add([said("I like teal.")], user_id="ann", agent_id="bot")
    for call in (
        engine.search("teal", user_id=bad),
        engine.get_all(user_id=bad),
        engine.delete_all(user_id=bad),
        engine.get(str(uuid.uuid4()), user_id=bad),
        engine.add([said("x")], user_id=bad),
        engine.enqueue([said("x")], user_id=bad),
    ):
        with pytest.raises(InvalidIdError):
            await call
    for agent_id, run_id in (("*", None), (None, "*")):
        with pytest.raises(InvalidIdError):
            await engine.delete_all(user_id="ann", agent_id=agent_id, run_id=run_id)
    assert await texts_of(engine, "ann") == ["I like teal."]


async def test_what_is_forgotten_does_not_come_back(start_engine: Any) -> None:
    embedder = BrokenEmbedder()
    async with start_engine(embedder, QUICK) as engine:
        await engine.enqueue([said("I like teal.")], user_id="ann", agent_id="bot", key="turn-1")
        await engine.enqueue([said("I like plums.")], user_id="ann", agent_id="tutor", key="turn-2")
        assert await engine.delete_all(user_id="ann", agent_id="bot") == 0
        embedder.broken = "nothing at all"
        await drained(engine)
        await engine.enqueue([said("I like teal.")], user_id="ann", agent_id="bot", key="turn-1")
        await drained(engine)
        assert await texts_of(engine, "ann") == ["I like plums."]
        assert await engine.delete_all(user_id="ann") == 1
        assert await found(engine, "like", "ann") == []


async def test_runs_are_a_scope_of_their_own(engine: MemoryEngine) -> None:
    await engine.add([said("In the first run.")], user_id="ann", run_id="one")
    await engine.add([said("In the second run.")], user_id="ann", run_id="two", metadata={"kind": "test"})
    assert await found(engine, "run", "ann", run_id="one") == ["In the first run."]
    assert (await engine.get_all(user_id="ann", run_id="two"))[0].metadata == {"kind": "test"}
    assert await engine.delete_all(user_id="ann", run_id="one") == 1
    assert await texts_of(engine, "ann") == ["In the second run."]


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "a\0b",
        "\ud800",
        "😀",
        "x" * 1_000_000,
        "שלום עולם",
        "%s %(user_id)s",
        "'; DROP TABLE memory_entry; --",
        "?",
    ],
)
async def test_any_text_can_be_saved_and_asked_for(engine: MemoryEngine, text: str) -> None:
    await engine.enqueue([said(text), said(f"marker {text}")], user_id="ann")
    await drained(engine)
    hits = await engine.search(f"marker {text}", user_id="ann")
    assert any(hit.memory.text.startswith("marker") for hit in hits)
    assert all(0 <= hit.score <= 1 for hit in hits)
    await engine.search(text, user_id="ann")


@pytest.mark.parametrize(("top_k", "expected"), [(0, 0), (-1, 0), (2, 2), (10**9, 5)])
async def test_any_limit_is_understood(engine: MemoryEngine, top_k: int, expected: int) -> None:
    await engine.add([said(f"Fact number {n}.") for n in range(5)], user_id="ann")
    assert len(await engine.search("fact", user_id="ann", top_k=top_k)) == expected
    assert len(await engine.get_all(user_id="ann", top_k=top_k)) == expected


async def test_a_strange_id_finds_nothing(engine: MemoryEngine) -> None:
    for id in ("", "no uuid", str(uuid.uuid4()), "\0"):
        assert await engine.get(id, user_id="ann") is None


async def test_another_embedders_vectors_are_not_compared(start_engine: Any) -> None:
    class OtherEmbedder(WordEmbedder):
        name = "other"
        dimensions = 8

    async with start_engine() as engine:
        await engine.add([said("I like teal.")], user_id="ann")
    async with start_engine(OtherEmbedder()) as engine:
        await engine.add([said("I like teal too.")], user_id="ann")
        hits = {hit.memory.text: hit.semantic_score for hit in await engine.search("teal", user_id="ann")}
        assert hits["I like teal."] is None
        assert hits["I like teal too."] is not None


ENGLISH = {
    "What is my favourite colour?": "My favourite colour is teal.",
    "What's the name of my dog?": "Our dog is called Biscuit.",
    "Where do I live?": "I live in a small town near Gdansk.",
    "When is my sister's birthday?": "My sister was born on the 3rd of May.",
    "What am I allergic to?": "I can't eat peanuts, I am allergic.",
    "What is my job?": "I work as a nurse in the city hospital.",
    "Which instrument do I play?": "I have been playing the cello for ten years.",
}
CHINESE = {
    "我最喜欢的颜色是什么？": "我最喜欢的颜色是青色。",
    "我的狗叫什么名字？": "我家的狗名字叫豆豆。",
    "我住在哪里？": "我住在杭州西湖边上。",
    "我对什么过敏？": "我对花生过敏，不能吃。",
    "我妹妹的生日是哪天？": "我妹妹的生日是五月三号。",
    "我在哪家公司上班？": "我在一家医疗公司上班。",
}


def filler(count: int) -> list[SpokenMessage]:
    rng = random.Random(11)
    things = ["dish", "film", "song", "season", "sport", "city", "drink", "flower", "book", "game"]
    names = ["soup", "Casablanca", "waltz", "autumn", "rowing", "Lyon", "cocoa", "tulip", "Momo", "chess"]
    dinge, namen = (
        ["菜", "电影", "歌", "季节", "运动", "城市", "饮料", "花", "书", "游戏"],
        ["汤", "城南旧事", "小夜曲", "秋天", "划船", "里昂", "可可", "郁金香", "西游记", "象棋"],
    )
    lines = [
        lambda n: f"My favourite {things[n]} is {rng.choice(names)}.",
        lambda n: f"My neighbour's favourite {things[n]} was {rng.choice(names)} number {rng.randrange(99)}.",
        lambda n: f"What is my favourite {things[n]}?",
        lambda n: f"Yesterday we talked about the {things[n]} and it rained.",
        lambda n: f"我最喜欢的{dinge[n]}是{rng.choice(namen)}。",
        lambda n: f"昨天我们聊了{dinge[n]}，外面下雨了。",
        lambda n: f"我最喜欢的{dinge[n]}是什么？",
        lambda n: f"邻居的孩子叫小{rng.choice(namen)}。",
    ]
    return [said(lines[n % len(lines)](rng.randrange(10)), minutes_ago=60 + n) for n in range(count)]


@pytest.mark.parametrize("facts", [ENGLISH, CHINESE], ids=["English", "Chinese"])
async def test_the_right_fact_comes_first_among_two_hundred_lines(
    start_engine: Any, minilm: MiniLmEmbedder, facts: dict[str, str]
) -> None:
    async with start_engine(minilm) as engine:
        old = [said(fact, minutes_ago=60 * 24 * 90) for fact in facts.values()]
        await engine.add([*old, *filler(200)], user_id="ann", agent_id="bot")
        for question in list(facts) * 2:  # often enough for a generic plan on this connection
            echoes = [said(question), said(f"I do not know yet: {question[:-1]}.", role="assistant")]
            await engine.add(echoes, user_id="ann", agent_id="bot")
        firsts = {question: (await found(engine, question, "ann", agent_id="bot"))[0] for question in facts}
        assert firsts == facts

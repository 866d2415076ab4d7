"""What one agent heard of everybody: searched by one statement, listed in pages, never more than that agent heard."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.integration.memory.conftest import Pool, StartEngine
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import (
    EngineOptions,
    InvalidIdError,
    MemoryEngine,
    MemoryInputError,
    SearchOptions,
    cursor_of,
)
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.finding import by_agent
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUESTION = "What is the favourite colour?"


def said(text: str, minutes_ago: float = 1.0, **more: Any) -> list[SpokenMessage]:
    return [SpokenMessage("user", text, NOON - timedelta(minutes=minutes_ago), **more)]


async def found(engine: MemoryEngine, query: str = QUESTION, agent: str = "bot", **more: Any) -> list[tuple[str, str]]:
    hits = await engine.search_by_agent(query, agent_id=agent, **more)
    return [(one.memory.user_id, one.memory.text) for one in hits]


async def listed(engine: MemoryEngine, agent: str = "bot", **more: Any) -> list[tuple[str, str]]:
    return [(one.user_id, one.text) for one in await engine.list_by_agent(agent_id=agent, **more)]


async def test_it_is_all_that_this_agent_heard_and_nothing_else(engine: MemoryEngine) -> None:
    await engine.add(said("My favourite colour is teal."), user_id="ann", agent_id="bot", session_id="s1")
    await engine.add(said("My favourite colour is plum."), user_id="bob", agent_id="bot", session_id="s1")
    await engine.add(said("My favourite colour is grey."), user_id="ann", agent_id="tutor")
    await engine.add(said("My favourite colour is red."), user_id="ann")
    await engine.share(user_id="ann", agent_id="bot", from_agent="tutor", done_by="a person")
    everybody = {("ann", "My favourite colour is teal."), ("bob", "My favourite colour is plum.")}
    assert set(await found(engine)) == everybody
    assert set(await listed(engine)) == everybody
    assert await found(engine, agent="nobody") == await listed(engine, agent="nobody") == []
    assert await found(engine, top_k=1, filters={"user_id": "bob"}) == [("bob", "My favourite colour is plum.")]


async def test_a_filter_only_narrows(engine: MemoryEngine) -> None:
    await engine.add(said("The colour is teal."), user_id="ann", agent_id="bot", metadata={"kind": "fact"})
    await engine.add(said("The colour is plum."), user_id="bob", agent_id="tutor", metadata={"kind": "fact"})
    for filters in (
        {"OR": [{"agent_id": "tutor"}, {"agent_id": "bot"}]},
        {"NOT": {"agent_id": "nobody"}},
        {"agent_id": {"in": ["bot", "tutor"]}},
        {"user_id": "*", "kind": "fact"},
    ):
        assert await found(engine, "colour", filters=filters) == [("ann", "The colour is teal.")]
        assert await listed(engine, filters=filters) == [("ann", "The colour is teal.")]
    assert await found(engine, "colour", filters={"agent_id": "tutor"}) == []
    assert await found(engine, "colour", threshold=1.0) == []


async def test_one_owner_is_ranked_as_by_a_search_of_that_owner(start_engine: StartEngine) -> None:
    lines = [
        ("Where did we leave the boat?", 9), ("The boat lies at the pier of Lindau.", 8), ("It rained.", 7),
        ("The boat is red.", 50), ("Lindau has a lighthouse.", 60), ("I like plums.", 70),
    ]  # fmt: skip
    by_statement = EngineOptions(search=SearchOptions(index_cache_mb=0, index_page=0))
    async with start_engine(None, by_statement) as engine:
        for text, minutes in lines:
            session = "talk" if minutes < 10 else f"s{minutes}"
            await engine.add(said(text, minutes), user_id="ann", agent_id="bot", session_id=session)
        for query in ("Where is the boat?", "Lindau", "What rained 8 minutes ago?", "something else"):
            mine = await engine.search(query, user_id="ann", agent_id="bot")
            assert [one.memory for one in await engine.search_by_agent(query, agent_id="bot")] == [
                one.memory for one in mine
            ]


async def test_the_same_session_of_two_owners_is_two(engine: MemoryEngine) -> None:
    """A neighbour lifts only within its own talk."""
    await engine.add(said("The boat is red.", 5), user_id="ann", agent_id="bot", session_id="talk")
    await engine.add(said("It costs a lot.", 4), user_id="ann", agent_id="bot", session_id="talk")
    await engine.add(said("It weighs a lot.", 4), user_id="bob", agent_id="bot", session_id="talk")
    hits = {one.memory.text: one.score for one in await engine.search_by_agent("boat", agent_id="bot")}
    assert hits["The boat is red."] > hits["It costs a lot."] > hits["It weighs a lot."]


class NoEmbedder(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError("the embedder is ill")


async def test_what_still_waits_is_among_it(start_engine: StartEngine) -> None:
    async with start_engine(NoEmbedder()) as engine:
        await engine.enqueue(said("The colour is teal."), user_id="ann", agent_id="bot")
        await engine.enqueue(said("The colour is plum."), user_id="bob", agent_id="bot")
        await engine.enqueue(said("The colour is grey."), user_id="bob", agent_id="tutor")
        assert set(await found(engine, "colour")) == {("ann", "The colour is teal."), ("bob", "The colour is plum.")}
        assert await found(engine, "colour", filters={"user_id": "bob"}) == [("bob", "The colour is plum.")]


async def test_what_is_over_suspect_compressed_or_run_out_is_left_out_as_of_one_owner(
    engine: MemoryEngine, pool: Pool
) -> None:
    texts = ("holds", "replaced", "over", "suspect", "compressed", "expired")
    ids = {}
    for text in texts:
        (memory,) = await engine.add(said(f"colour {text}"), user_id=f"user-{text}", agent_id="bot")
        ids[text] = memory.id
    changes = {
        "replaced": "superseded_by = gen_random_uuid()", "over": "valid_to = now() - interval '1 day'",
        "suspect": "flag = 'unfounded'", "compressed": "compressed_into = gen_random_uuid()",
        "expired": "expires_at = now() - interval '1 day'",
    }  # fmt: skip
    async with pool.connection() as connection:
        for text, change in changes.items():
            await connection.execute(f"UPDATE memory_entry SET {change} WHERE id = %s".encode(), (ids[text],))
    assert await found(engine, "colour") == [("user-holds", "colour holds")]
    named = {"superseded_by": "*"}
    assert await found(engine, "colour", filters=named) == [("user-replaced", "colour replaced")]
    assert await found(engine, "colour", filters={"flag": "unfounded"}) == [("user-suspect", "colour suspect")]
    shown = {text for _, text in await listed(engine)}
    assert shown == {"colour holds", "colour replaced", "colour over", "colour suspect"}


async def test_a_list_is_paged_through_to_its_end(engine: MemoryEngine) -> None:
    for number in range(10):
        await engine.add(said(f"Fact {number}.", number // 2), user_id=f"user-{number % 3}", agent_id="bot")
    whole = await engine.list_by_agent(agent_id="bot")
    assert len(whole) == 10
    assert [one.created_at for one in whole] == sorted((one.created_at for one in whole), reverse=True)
    pages, cursor = [], None
    while page := await engine.list_by_agent(agent_id="bot", top_k=3, cursor=cursor):
        pages += page
        cursor = cursor_of(page[-1])
    assert pages == whole


@pytest.mark.parametrize("agent_id", ["", " ", "*", " bot", None, 7])
async def test_the_agent_is_said_and_checked(engine: MemoryEngine, agent_id: Any) -> None:
    with pytest.raises(InvalidIdError):
        await engine.search_by_agent("colour", agent_id=agent_id)
    with pytest.raises(InvalidIdError):
        await engine.list_by_agent(agent_id=agent_id)


async def test_bad_input_is_told(engine: MemoryEngine) -> None:
    with pytest.raises(MemoryInputError):
        await engine.search_by_agent("colour", agent_id="bot", filters={"AND": "x"})
    with pytest.raises(MemoryInputError):
        await engine.list_by_agent(agent_id="bot", cursor="x")
    assert await engine.search_by_agent("", agent_id="bot") == []
    assert await engine.search_by_agent("colour", agent_id="bot", top_k=-3) == []
    assert await engine.list_by_agent(agent_id="bot", top_k=0) == []


async def test_whose_a_memory_is(engine: MemoryEngine) -> None:
    (memory,) = await engine.add(said("I like teal."), user_id="ann", agent_id="bot")
    assert await engine.owner_of(memory.id) == "ann"
    assert await engine.owner_of(str(memory.id)) == "ann"
    assert await engine.owner_of(uuid.uuid4()) is None
    assert await engine.owner_of("no id") is None
    await engine.delete(memory.id, user_id="ann")
    assert await engine.owner_of(memory.id) == "ann", "its history is still there"
    await engine.forget(user_id="ann")
    assert await engine.owner_of(memory.id) is None


async def fill(connection: AsyncConnection[Any], agent_id: str, rows: int) -> None:
    await connection.execute(
        "INSERT INTO memory_entry (user_id, id, agent_id, role, text, created_at, updated_at, words, embedder)"
        " SELECT 'user-' || number %% 500, gen_random_uuid(), %s, 'user', 'text ' || number,"
        " now() - number * interval '1 second', now(), ARRAY[number], 1 FROM generate_series(1, %s) AS number",
        (agent_id, rows),
    )


def scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [one for part in plan.get("Plans", ()) for one in scans(part)]
    return [plan, *inner] if plan.get("Relation Name") == "memory_entry" else inner


async def test_a_hundred_thousand_of_others_are_not_even_looked_at(
    engine: MemoryEngine, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.add(said("The colour is teal."), user_id="ann", agent_id="bot", session_id="s1")
    plans: list[list[Any]] = []

    async def explained(connection: AsyncConnection[Any], text: bytes, parameters: Any, **_: Any) -> Any:
        cursor = await connection.execute(b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + text, parameters)
        plans.append((await cursor.fetchall())[0][0])
        raise LookupError

    async with pool.connection() as connection:
        await fill(connection, "other", 100_000)
        await connection.execute("ANALYZE memory_entry")
    monkeypatch.setattr(by_agent, "fetched", explained)
    with pytest.raises(LookupError):
        await engine.search_by_agent("colour", agent_id="bot")
    (plan,) = plans[0]
    touched = sum(one["Actual Rows"] * one["Actual Loops"] for one in scans(plan["Plan"]))
    touched += sum(one.get("Rows Removed by Filter", 0) for one in scans(plan["Plan"]))
    assert 1 <= touched < 20, json.dumps(plan)
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 200
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "EXPLAIN SELECT * FROM memory_entry WHERE nullif(agent_id, '') = 'other'"
            " ORDER BY created_at DESC, id DESC LIMIT 100"
        )
        listing = "\n".join(row[0] for row in await cursor.fetchall())
        cursor = await connection.execute(
            "EXPLAIN SELECT * FROM memory_entry WHERE id = '6b1d6c1e-0c57-4e0e-9f5a-7f0a5f2f6a55'"
        )
        owner = "\n".join(row[0] for row in await cursor.fetchall())
    assert "memory_entry_agent" in listing
    assert "Sort" not in listing
    assert "Seq Scan" not in owner


async def test_a_change_is_found_at_once_and_a_deletion_not_any_more(engine: MemoryEngine) -> None:
    (memory,) = await engine.add(said("The colour is teal."), user_id="ann", agent_id="bot")
    await engine.update(memory.id, user_id="ann", text="The colour is plum.")
    assert await found(engine, "colour") == [("ann", "The colour is plum.")]
    await engine.delete(memory.id, user_id="ann")
    assert await found(engine, "colour") == []
    await engine.enqueue(said("The colour is grey."), user_id="ann", agent_id="bot")
    await until(lambda: engine.list_by_agent(agent_id="bot"))
    assert await found(engine, "colour") == [("ann", "The colour is grey.")]

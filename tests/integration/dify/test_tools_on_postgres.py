"""Every tool on a real database, in both modes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from firmware_sim.cloud import StandInCloud
from tests.integration.dify.world import Tools, credentials_for, tools
from tests.support.waiting import until

UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
async def waiting(cloud: StandInCloud, database_dsn: str) -> AsyncIterator[Tools]:
    """Sync mode."""
    async with tools(credentials_for(cloud, database_dsn, async_mode="false")) as made:
        yield made


@pytest.fixture
async def accepting(cloud: StandInCloud, database_dsn: str) -> AsyncIterator[Tools]:
    """Async mode."""
    async with tools(credentials_for(cloud, database_dsn)) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
async def both(request: pytest.FixtureRequest, cloud: StandInCloud, database_dsn: str) -> AsyncIterator[Tools]:
    async with tools(credentials_for(cloud, database_dsn, async_mode=request.param == "async")) as made:
        yield made


async def added(tools: Tools, text: str, **more: Any) -> str:
    """The id of a memory that is there."""
    answer = await tools.call("add_memory", **{"user": text, "user_id": "anna", "infer": False, **more})
    assert answer.status == "SUCCESS", answer
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        listed = await tools.call("get_all_memories", user_id=more.get("user_id", "anna"))
        found[:] = [one for one in listed.json["results"] if one["memory"] == text]
        return bool(found)

    await until(is_there)
    return str(found[0]["id"])


async def test_sync_mode_waits_for_what_becomes_of_it(waiting: Tools) -> None:
    answer = await waiting.call("add_memory", user="I like green tea", user_id="anna", infer="false")
    assert answer.status == "SUCCESS"
    assert [one["event"] for one in answer.json["results"]["results"]] == ["ADD"]
    found = await waiting.call("search_memory", query="green tea", user_id="anna")
    assert found.json["messages"] == "Found 1 matching memories"
    (item,) = found.json["results"]
    assert item["memory"] == "I like green tea"
    assert 0 < item["score"] <= 1
    assert {"id", "memory", "score", "vector_distance", "rerank_score", "metadata", "timestamp"} <= item.keys()
    assert "1. Memory: I like green tea" in found.text


async def test_a_model_makes_facts_of_it_where_nothing_else_is_said(waiting: Tools) -> None:
    answer = await waiting.call("add_memory", user="My sister is called Berta", assistant="Nice!", user_id="anna")
    assert answer.status == "SUCCESS", answer
    assert answer.json["results"]["results"]
    assert [one["role"] for one in answer.json["messages"]] == ["user", "assistant"]


async def test_async_mode_accepts_and_does_it_afterwards(accepting: Tools) -> None:
    answer = await accepting.call("add_memory", user="I like green tea", user_id="anna", infer=False)
    assert answer.json == {
        "status": "SUCCESS",
        "messages": [{"role": "user", "content": "I like green tea"}],
        "results": [{"id": "", "memory": "", "event": "ACCEPT"}],
    }

    async def found() -> bool:
        return bool((await accepting.call("search_memory", query="green tea", user_id="anna")).json["results"])

    await until(found)


async def test_blank_messages_are_skipped(accepting: Tools) -> None:
    answer = await accepting.call("add_memory", user="  ", assistant="", user_id="anna")
    assert answer.json == {"status": "SUCCESS", "messages": [], "results": [{"id": "", "memory": "", "event": "SKIP"}]}
    assert answer.text == "Skipped memory addition for empty messages."


async def test_a_memory_is_read_changed_told_of_and_deleted(both: Tools) -> None:
    id = await added(both, "I live in Munich", metadata='{"topic": "home"}')

    read = await both.call("get_memory", memory_id=id)
    assert read.json["messages"] == "Memory retrieved successfully"
    assert read.json["results"]["memory"] == "I live in Munich"
    assert read.json["results"]["metadata"] == {"topic": "home"}

    changed = await both.call("update_memory", memory_id=id, text="I live in Berlin")
    assert changed.status == "SUCCESS"
    assert changed.json["messages"] == {"memory_id": id, "text": "I live in Berlin"}

    async def is_berlin() -> bool:
        read = await both.call("get_memory", memory_id=id)
        return bool(read.json["results"]["memory"] == "I live in Berlin")

    await until(is_berlin)
    told = await both.call("get_memory_history", memory_id=id)
    assert [one["event"] for one in told.json["results"]] == ["ADD", "UPDATE"]
    assert told.json["results"][1]["old_memory"] == "I live in Munich"

    deleted = await both.call("delete_memory", memory_id=id)
    assert deleted.status == "SUCCESS"

    async def is_gone() -> bool:
        return (await both.call("get_memory", memory_id=id)).status == "NOT_FOUND"

    await until(is_gone)
    told = await both.call("get_memory_history", memory_id=id)
    assert told.json["results"][-1]["is_deleted"] is True


@pytest.mark.parametrize("tool", ["get_memory", "update_memory", "delete_memory", "get_memory_history"])
async def test_what_is_not_there_is_said_in_both_modes(both: Tools, tool: str) -> None:
    answer = await both.call(tool, memory_id=UNKNOWN, text="x")
    assert answer.status == "NOT_FOUND"
    assert answer.json["messages"] == f"Memory not found: {UNKNOWN}"
    assert answer.text == f"Error: Memory not found: {UNKNOWN}"
    assert not answer.json["results"]


@pytest.mark.parametrize("tool", ["get_memory", "update_memory", "delete_memory", "get_memory_history"])
async def test_ids_of_other_users_are_as_if_they_were_not_there(waiting: Tools, tool: str) -> None:
    id = await added(waiting, "I live in Munich")
    answer = await waiting.call(tool, memory_id=id, text="x", user_id="somebody else")
    assert answer.status == "NOT_FOUND"
    assert (await waiting.call("get_memory", memory_id=id)).json["results"]["memory"] == "I live in Munich"


async def test_all_of_a_user_is_deleted_and_nothing_of_others(waiting: Tools) -> None:
    await added(waiting, "I like tea")
    await added(waiting, "I like coffee", user_id="bert")
    answer = await waiting.call("delete_all_memories", user_id="anna")
    assert answer.json["messages"] == {"filters": {"user_id": "anna"}}
    assert answer.json["results"]["deleted_count"] == 1
    assert (await waiting.call("get_all_memories", user_id="anna")).json["results"] == []
    assert len((await waiting.call("get_all_memories", user_id="bert")).json["results"]) == 1


async def test_delete_all_is_accepted(accepting: Tools) -> None:
    await added(accepting, "I like tea")
    answer = await accepting.call("delete_all_memories", user_id="anna", agent_id=None)
    assert answer.json["results"] == {"message": "Batch memory deletion has been accepted"}

    async def is_empty() -> bool:
        return not (await accepting.call("get_all_memories", user_id="anna")).json["results"]

    await until(is_empty)


async def test_a_list_is_paged(waiting: Tools) -> None:
    for number in range(5):
        await added(waiting, f"note {number}")
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        page = await waiting.call("get_all_memories", user_id="anna", limit="2", cursor=cursor)
        seen += [one["memory"] for one in page.json["results"]]
        cursor = page.json["next"]
    assert seen == [f"note {number}" for number in reversed(range(5))]
    assert cursor is None
    answer = await waiting.call("get_all_memories", user_id="anna", cursor="nonsense")
    assert answer.status == "ERROR"


async def test_an_agent_alone_is_enough(waiting: Tools) -> None:
    await added(waiting, "I like tea", agent_id="cook")
    await added(waiting, "I like tea too", user_id="bert", agent_id="cook")
    await added(waiting, "I like tea elsewhere", user_id="bert", agent_id="driver")
    listed = await waiting.call("get_all_memories", agent_id="cook")
    assert {one["memory"] for one in listed.json["results"]} == {"I like tea", "I like tea too"}
    found = await waiting.call("search_memory", query="tea", filters='{"agent_id": "cook"}')
    assert {one["memory"] for one in found.json["results"]} == {"I like tea", "I like tea too"}


async def test_filters_narrow_and_never_widen(waiting: Tools) -> None:
    await added(waiting, "I like tea", metadata={"topic": "food"})
    await added(waiting, "I like trains", metadata={"topic": "travel"})
    await added(waiting, "I like tea as well", user_id="bert")
    found = await waiting.call("search_memory", query="like", user_id="anna", filters="{'topic': 'travel'}")
    assert [one["memory"] for one in found.json["results"]] == ["I like trains"]
    for wide in ('{"OR": [{"user_id": "anna"}, {"user_id": "bert"}]}', '{"user_id": {"in": ["anna", "bert"]}}'):
        for tool in ("search_memory", "get_all_memories"):
            answer = await waiting.call(tool, query="tea", user_id="anna", filters=wide)
            assert answer.status == "ERROR"
            assert answer.json["results"] == []


async def test_retrieve_gives_what_search_gives(waiting: Tools) -> None:
    await added(waiting, "I like tea")
    one, other = [
        await waiting.call(tool, query="tea", user_id="anna") for tool in ("retrieve_memory", "search_memory")
    ]
    assert one.json == other.json


@pytest.mark.parametrize("top_k", [0, -3, 10**6, "2", "many"])
async def test_top_k_may_be_anything(waiting: Tools, top_k: Any) -> None:
    await added(waiting, "I like tea")
    answer = await waiting.call("search_memory", query="tea", user_id="anna", top_k=top_k)
    assert (answer.status, len(answer.json["results"])) == ("SUCCESS", 1)


async def test_a_megabyte_of_text_is_taken(both: Tools) -> None:
    answer = await both.call("add_memory", user="tea " * 250_000, user_id="anna", infer=False)
    assert answer.status == "SUCCESS", answer.text[:300]


@pytest.mark.parametrize("user_id", ["*", "a\x00b", "x" * 300])
@pytest.mark.parametrize("tool", ["add_memory", "search_memory", "get_all_memories", "delete_all_memories"])
async def test_an_id_for_everybody_is_refused(accepting: Tools, tool: str, user_id: str) -> None:
    answer = await accepting.call(tool, user="x", query="x", user_id=user_id)
    assert answer.status == "ERROR"


async def test_the_plugin_holds_ten_connections_at_most(
    accepting: Tools, cloud: StandInCloud, database_dsn: str
) -> None:
    await asyncio.gather(*(added(accepting, f"note {number}") for number in range(15)))
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        row = await cursor.fetchone()
    assert row is not None
    assert 1 <= row[0] <= 10


async def test_what_was_accepted_is_done_by_the_next_start(cloud: StandInCloud, database_dsn: str) -> None:
    credentials = credentials_for(cloud, database_dsn)
    async with tools(credentials) as first:
        for number in range(10):
            answer = await first.call("add_memory", user=f"note {number}", user_id="anna", infer=False)
            assert answer.status == "SUCCESS"
    async with tools(credentials) as second:

        async def all_there() -> bool:
            return len((await second.call("get_all_memories", user_id="anna")).json["results"]) == 10

        await until(all_there)


async def test_the_credentials_are_tried(accepting: Tools) -> None:
    assert await accepting.validate() is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (
            "local_vector_db_json_secret",
            '{"provider": "pgvector", "config": {"connection_string": "postgresql://u:sk-secret@127.0.0.1:1/x"}}',
        ),
        (
            "local_embedder_json_secret",
            '{"provider": "openai", "config": {"api_key": "sk-secret", "openai_base_url": "http://127.0.0.1:1/v1"}}',
        ),
        (
            "local_llm_json_secret",
            '{"provider": "openai", "config": {"api_key": "sk-secret", "openai_base_url": "http://127.0.0.1:1/v1"}}',
        ),
        ("local_llm_json_secret", '{"provider": "nobody", "config": {"api_key": "sk-secret"}}'),
        ("local_reranker_json_secret", '{"provider": "nobody", "config": {"api_key": "sk-secret"}}'),
    ],
)
async def test_the_part_that_fails_is_named(accepting: Tools, field: str, value: str) -> None:
    problem = await accepting.validate(**{field: value})
    assert problem is not None
    assert problem.startswith("self-hosted mode: ")
    assert field in problem
    assert "sk-secret" not in problem


async def test_a_dimension_that_does_not_fit_is_said(accepting: Tools, cloud: StandInCloud, database_dsn: str) -> None:
    config = {"connection_string": database_dsn, "embedding_model_dims": 1536}
    store = json.dumps({"provider": "pgvector", "config": config})
    problem = await accepting.validate(local_vector_db_json_secret=store)
    assert problem is not None
    assert "384" in problem
    assert "1536" in problem

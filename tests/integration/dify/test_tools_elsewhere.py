"""The tools without PostgreSQL: on another store of mem0's, and on Mem0's platform, in both modes."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.cloud.faults import GOOD
from tests.integration.dify.world import Tools, credentials_for, tools
from tests.support.waiting import until

UNKNOWN = "11111111-2222-3333-4444-555555555555"
KEY = "sk-secret-of-the-model"  # the stand-in is both


def elsewhere(kind: str, cloud: StandInCloud, folder: Path) -> dict[str, Any]:
    if kind == "platform":
        return {"mem0_api_key": KEY, "mem0_host": cloud.memory_host}
    config = {"path": str(folder / "qdrant"), "collection_name": "mine", "on_disk": True}
    return credentials_for(cloud, "", local_vector_db_json_secret=json.dumps({"provider": "qdrant", "config": config}))


@pytest.fixture(params=[("qdrant", True), ("qdrant", False), ("platform", True), ("platform", False)], ids=str)
async def home(request: pytest.FixtureRequest, cloud: StandInCloud, tmp_path: Path) -> AsyncIterator[Tools]:
    kind, async_mode = request.param
    async with tools({**elsewhere(kind, cloud, tmp_path), "async_mode": async_mode}) as made:
        yield made


async def only(home: Tools, user_id: str = "anna") -> dict[str, Any]:
    """The one memory that there is in the end."""
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        found[:] = (await home.call("get_all_memories", user_id=user_id)).json["results"]
        return len(found) == 1

    await until(is_there)
    return found[0]


async def test_a_memory_is_added_found_changed_and_deleted(home: Tools) -> None:
    added = await home.call("add_memory", user="I like green tea", user_id="anna", agent_id="cook", infer=False)
    assert added.status == "SUCCESS", added
    id = (await only(home))["id"]
    found = await home.call("search_memory", query="green tea", user_id="anna")
    assert [one["id"] for one in found.json["results"]] == [id]
    assert 0 <= found.json["results"][0]["score"] <= 1
    assert [one["id"] for one in (await home.call("get_all_memories", agent_id="cook")).json["results"]] == [id]
    assert (await home.call("get_memory", memory_id=id, user_id="bert")).status == "NOT_FOUND"
    assert (await home.call("update_memory", memory_id=id, text="I like black tea")).status == "SUCCESS"

    async def is_black() -> bool:
        return "black" in (await home.call("get_memory", memory_id=id)).json["results"]["memory"]

    await until(is_black)
    told = await home.call("get_memory_history", memory_id=id)
    assert [one["event"] for one in told.json["results"]] == ["ADD", "UPDATE"]
    assert (await home.call("delete_memory", memory_id=id)).status == "SUCCESS"

    async def is_gone() -> bool:
        return (await home.call("get_memory", memory_id=id)).status == "NOT_FOUND"

    await until(is_gone)


@pytest.mark.parametrize("tool", ["get_memory", "update_memory", "delete_memory", "get_memory_history"])
async def test_what_is_not_there_is_said(home: Tools, tool: str) -> None:
    assert (await home.call(tool, memory_id=UNKNOWN, text="x")).status == "NOT_FOUND"


async def test_all_of_a_user_is_deleted(home: Tools) -> None:
    for user_id in ("anna", "bert"):
        await home.call("add_memory", user=f"I am {user_id} and like tea", user_id=user_id, infer=False)
        await only(home, user_id)
    assert (await home.call("delete_all_memories", user_id="anna")).status == "SUCCESS"

    async def is_empty() -> bool:
        return not (await home.call("get_all_memories", user_id="anna")).json["results"]

    await until(is_empty)
    await only(home, "bert")


async def test_the_credentials_are_tried(home: Tools) -> None:
    assert await home.validate() is None


@pytest.mark.parametrize(
    ("tool", "parameters"),
    [
        (
            "extract_long_term_memory",
            {"user_ids": "u", "app_id": "a", "dify_base_url": "http://127.0.0.1:1/v1", "dify_api_key": "app-1"},
        ),
        ("check_extraction_status", {"task_id": "t"}),
        ("get_user_checkpoint", {"user_id": "u"}),
    ],
)
async def test_extraction_needs_self_hosted_mode(
    cloud: StandInCloud, tmp_path: Path, tool: str, parameters: dict[str, Any]
) -> None:
    async with tools(elsewhere("platform", cloud, tmp_path)) as platform:
        answer = await platform.call(tool, **parameters)
    assert answer.status == "ERROR"
    assert "needs self-hosted mode" in answer.json["messages"]


async def test_a_platform_that_is_away_is_an_error_and_nothing_is_lost(cloud: StandInCloud, tmp_path: Path) -> None:
    away = {"mem0_api_key": KEY, "mem0_host": "http://127.0.0.1:1"}
    async with tools(away) as platform:
        assert (await platform.call("search_memory", query="x", user_id="anna")).status == "ERROR"
        problem = await platform.validate()
    assert problem is not None
    assert problem.startswith("platform mode: mem0_api_key")
    assert KEY not in problem


async def test_a_wrong_key_is_named(cloud: StandInCloud, tmp_path: Path) -> None:
    async with tools({**elsewhere("platform", cloud, tmp_path), "mem0_api_key": "m0-another-key"}) as platform:
        problem = await platform.validate()
    assert problem == "platform mode: mem0_api_key: the platform refuses this key"


async def test_a_question_whose_vector_fails_fails_in_another_store_too(cloud: StandInCloud, tmp_path: Path) -> None:
    async with tools(elsewhere("qdrant", cloud, tmp_path)) as home:
        await home.call("add_memory", user="I like green tea", user_id="anna", infer=False)
        await only(home)
        cloud.faults.embeddings = Fault(status=500)
        answer = await home.call("search_memory", query="what does anna drink?", user_id="anna", timeout=20)
        assert (answer.status, answer.json["results"]) == ("ERROR", [])
        assert "embedder" in answer.json["error"], answer.json
        cloud.faults.embeddings = GOOD
        assert (await home.call("search_memory", query="and what else?", user_id="anna")).status == "SUCCESS"


async def test_what_was_accepted_is_done_by_the_next_start(cloud: StandInCloud, tmp_path: Path) -> None:
    credentials = elsewhere("qdrant", cloud, tmp_path)
    async with tools(credentials) as first:
        for number in range(5):
            await first.call("add_memory", user=f"note {number}", user_id="anna", infer=False)
    # Another key of the model does not change where that was written down.
    async with tools({**credentials, "heartbeat_interval": "60"}) as second:

        async def all_there() -> bool:
            return len((await second.call("get_all_memories", user_id="anna")).json["results"]) == 5

        await until(all_there)


async def test_a_slow_platform_is_waited_for_as_long_as_is_said(cloud: StandInCloud, tmp_path: Path) -> None:
    """Our own limits are those of a talk, where nobody would wait so long."""
    async with tools({**elsewhere("platform", cloud, tmp_path), "async_mode": False}) as sync:
        await sync.call("add_memory", user="I like green tea", user_id="anna", infer=False)
        cloud.faults.memory = Fault(delay_s=4.2)
        found = await sync.call("search_memory", query="green tea", user_id="anna")
        assert (found.status, len(found.json["results"])) == ("SUCCESS", 1), found
        cloud.faults.memory = Fault(mode="stall")
        late = await sync.call("search_memory", query="green tea", user_id="anna", timeout=5)
        assert late.status == "TIMEOUT", late


@pytest.mark.parametrize("kind", ["qdrant", "platform"])
async def test_forgetting_works_on_what_is_listed(kind: str, cloud: StandInCloud, tmp_path: Path) -> None:
    credentials = {**elsewhere(kind, cloud, tmp_path), "async_mode": False, "memory_ttl_days": "30"}
    async with tools(credentials) as sync:
        await sync.call("add_memory", user="I like green tea", user_id="anna", infer=False)
        await only(sync)
        shown = await sync.call("forget_memories", user_id="anna", dry_run="true")
        assert shown.status == "SUCCESS", shown
        assert shown.json["results"]["would_delete"] == []
        done = await sync.call("forget_memories", user_id="anna")
        assert (done.json["results"]["deleted_count"], done.json["results"]["retained_count"]) == (0, 1)

"""Every tool, called as a workflow calls it, wherever memories are kept and in both modes."""

import uuid

import pytest

from tests.dify.extraction import extraction, finished
from tests.dify.tools import Tools, ToolsOn
from tests.dify.world import World, eventually

HOMES = ("postgres", "postgres async", "platform", "platform async", "qdrant", "qdrant async")
TEA = "I like green tea."


@pytest.fixture(params=HOMES)
def tools(request: pytest.FixtureRequest, tools_on: ToolsOn) -> Tools:
    return tools_on(request.param)


def accepted_or(tools: Tools, later: str, now: str) -> str:
    return later if tools.is_async else now


def test_what_is_added_is_found_and_listed(tools: Tools, user: str) -> None:
    reply = tools.call("add_memory", user=TEA, assistant="Noted.", user_id=user, metadata='{"topic": "drinks"}')
    assert reply.status == "SUCCESS", reply.json
    assert reply.json["messages"] == [{"role": "user", "content": TEA}, {"role": "assistant", "content": "Noted."}]
    if tools.is_async:
        assert reply.results == [{"id": "", "memory": "", "event": "ACCEPT"}]
    else:
        assert [one["event"] for one in reply.results["results"]] == ["ADD"]
    (kept,) = eventually(lambda: tools.listed(user))
    assert "green tea" in kept["memory"]
    assert kept["metadata"]["topic"] == "drinks"
    assert kept["created_at"]
    found = tools.done("search_memory", query="Which tea do I like?", user_id=user, top_k="3")
    assert [one["id"] for one in found] == [kept["id"]]
    assert 0 <= found[0]["score"] <= 1
    assert found[0]["vector_distance"] == pytest.approx(1 - found[0]["score"], abs=0.51)
    assert found[0]["timestamp"][10] == "T"
    assert tools.done("retrieve_memory", query="Which tea do I like?", user_id=user) == found


def test_one_memory_is_read_and_changed_and_has_a_history(tools: Tools, user: str) -> None:
    memory_id = tools.remember(user, TEA)
    assert "green tea" in tools.done("get_memory", memory_id=memory_id)["memory"]
    reply = tools.call("update_memory", memory_id=memory_id, text="Likes black tea.")
    assert reply.status == "SUCCESS", reply.json
    if tools.is_async:
        assert reply.results == {"message": "Memory update has been accepted"}
    eventually(lambda: tools.texts(user) == ["Likes black tea."])
    events = tools.done("get_memory_history", memory_id=memory_id)
    assert [one["event"] for one in events][-1] == "UPDATE"
    assert events[-1]["new_memory"] == "Likes black tea."
    assert {one["memory_id"] for one in events} == {memory_id}


def test_one_memory_is_deleted(tools: Tools, user: str) -> None:
    gone, kept = tools.remember(user, TEA), tools.remember(user, "My dog is called Rex.")
    reply = tools.call("delete_memory", memory_id=gone)
    assert reply.status == "SUCCESS", reply.json
    if tools.is_async:
        assert reply.results == {"message": "Memory deletion has been accepted"}
    eventually(lambda: [one["id"] for one in tools.listed(user)] == [kept])
    assert tools.call("get_memory", memory_id=gone).status == "NOT_FOUND"


def test_all_of_a_user_are_deleted_and_nobody_else_s(tools: Tools, user: str) -> None:
    tools.remember(user, TEA)
    kept = tools.remember(f"{user}-2", TEA)
    reply = tools.call("delete_all_memories", user_id=user)
    assert reply.status == "SUCCESS", reply.json
    assert reply.json["messages"] == {"filters": {"user_id": user}}
    eventually(lambda: tools.listed(user) == [])
    assert [one["id"] for one in tools.listed(f"{user}-2")] == [kept]


def test_what_blank_messages_say_is_skipped(tools: Tools, user: str) -> None:
    reply = tools.call("add_memory", user="  ", user_id=user)
    assert reply.json == {
        "status": "SUCCESS", "messages": [], "results": [{"id": "", "memory": "", "event": "SKIP"}]
    }  # fmt: skip
    assert reply.text == "Skipped memory addition for empty messages."


def test_nothing_there_is_nothing_found(tools: Tools, user: str) -> None:
    unknown = str(uuid.uuid4())
    for tool, more in (
        ("get_memory", {}),
        ("update_memory", {"text": "x"}),
        ("delete_memory", {}),
        ("get_memory_history", {}),
    ):
        reply = tools.call(tool, memory_id=unknown, **more)
        assert reply.status == "NOT_FOUND", reply.json
        assert reply.json["messages"] == f"Memory not found: {unknown}"
    assert tools.done("search_memory", query="tea", user_id=user) == []
    assert tools.listed(user) == []


def test_faded_memories_are_shown_before_they_go(tools: Tools, user: str) -> None:
    tools.remember(user, TEA)
    told = tools.done("forget_memories", user_id=user, dry_run="true")
    assert (told["deleted_count"], told["retained_count"], told["dry_run"]) == (0, 1, True)
    told = tools.done("forget_memories", user_id=user, dry_run="false")
    assert (told["deleted_count"], told["dry_run"]) == (0, False)
    assert len(tools.listed(user)) == 1


@pytest.mark.parametrize("home", ["postgres async", "qdrant async"])
def test_conversations_of_dify_become_memories(home: str, tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on(home)
    world.talks(user, TEA, "My dog is called Rex.")
    world.talks(user, "What is the capital of Norway?")
    started = tools.call("extract_long_term_memory", **extraction(world, user)).json
    assert started["status"] == "ACCEPTED", started
    assert (started["user_count"], started["mode"]) == (1, "async")
    status = tools.call("check_extraction_status", task_id=started["task_id"]).json
    assert status["status"] == "SUCCESS"  # there from the first moment on
    done = eventually(lambda: finished(tools, started["task_id"]))
    assert done["task_status"] == "completed", done
    assert (done["processed_users"], done["scanned_conversations"], done["scanned_messages"]) == (1, 2, 3)
    assert sum(done["written_memories"].values()) == len(tools.listed(user)) > 0
    checkpoint = tools.call("get_user_checkpoint", user_id=user, app_id="app-1").json
    assert (checkpoint["status"], checkpoint["conversations_count"]) == ("SUCCESS", 2)
    assert {one["metadata"]["memory_subtype"] for one in tools.listed(user)} == {"semantic"}


@pytest.mark.parametrize("home", ["postgres", "qdrant"])
def test_in_sync_mode_extraction_gives_its_report(home: str, tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on(home)
    world.talks(user, TEA)
    report = tools.call("extract_long_term_memory", **extraction(world, user, f"{user}-2")).json
    assert report["status"] == "SUCCESS", report
    assert [one["user_id"] for one in report["per_user"]] == [user, f"{user}-2"]
    assert report["summary"]["processed_conversations"] == 1
    again = tools.call("extract_long_term_memory", **extraction(world, user)).json
    assert again["summary"]["written_memories"] in (0, {"semantic": 0, "episodic": 0, "procedural": 0})
    assert len(tools.listed(user)) == 1


@pytest.mark.parametrize("home", ["platform", "platform async"])
def test_on_the_platform_there_is_no_extraction(home: str, tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on(home)
    calls = {
        "extract_long_term_memory": extraction(world, user),
        "check_extraction_status": {"task_id": "extract_0123456789ab"},
        "get_user_checkpoint": {"user_id": user, "app_id": "app-1"},
    }
    for tool, parameters in calls.items():
        reply = tools.call(tool, **parameters)
        assert (reply.status, reply.results) == ("ERROR", [])
        assert "needs self-hosted mode" in reply.json["messages"]


@pytest.mark.parametrize("home", ["postgres", "qdrant"])
def test_what_nobody_extracted_is_not_found(home: str, tools_on: ToolsOn, user: str) -> None:
    tools = tools_on(home)
    task = tools.call("check_extraction_status", task_id="extract_0123456789ab").json
    assert (task["status"], task["task_id"]) == ("NOT_FOUND", "extract_0123456789ab")
    found = tools.call("get_user_checkpoint", user_id=user, app_id="app-1").json
    assert (found["status"], found["message"]) == ("NOT_FOUND", "Checkpoint not found.")

"""Each fault that the public plugin had to mend, by the version that mended it, and those that it still has.

What is proven elsewhere in more detail has its test there too; `docs/topics/dify.md` lists all of them.
"""

import ast
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mem0_tools.connecting import address_of
from mem0_tools.requests import forget_request
from tests.dify.daemon import PluginProcess
from tests.dify.extraction import extraction, finished
from tests.dify.tools import Tools, ToolsOn
from tests.dify.world import PASSWORD, World, eventually
from tests.support.plugin_package import plugin_files

TEA, DOG = "I like green tea.", "My dog is called Rex."
BOTH_MODES = pytest.mark.parametrize("home", ["postgres", "postgres async"])


@pytest.fixture
def tools(tools_on: ToolsOn) -> Tools:
    """In sync mode, on PostgreSQL."""
    return tools_on("postgres")


def extracted(tools: Tools, world: World, *users: str, **more: Any) -> dict[str, Any]:
    report = tools.call("extract_long_term_memory", **extraction(world, *users, **more)).json
    assert report["status"] == "SUCCESS", report
    return report


def described() -> Iterator[dict[str, Any]]:
    for path, content in plugin_files().items():
        if path.startswith("tools/") and path.endswith(".yaml"):
            yield yaml.safe_load(content)


def provider() -> dict[str, Any]:
    return dict(yaml.safe_load(plugin_files()["provider/mem0ai.yaml"]))


# --- 0.1 ---


def test_0_1_0_get_all_is_not_empty(tools: Tools, user: str) -> None:
    memory_id = tools.remember(user, TEA)
    assert [one["id"] for one in tools.listed(user)] == [memory_id]


@BOTH_MODES
def test_0_1_0_a_missing_id_is_not_found(home: str, tools_on: ToolsOn) -> None:
    unknown = str(uuid.uuid4())
    assert tools_on(home).call("update_memory", memory_id=unknown, text="x").status == "NOT_FOUND"
    assert tools_on(home).call("delete_memory", memory_id=unknown).status == "NOT_FOUND"


def test_0_1_1_a_search_never_hangs(tools: Tools, world: World, user: str) -> None:
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    assert tools.call("search_memory", query=f"what of {user}", user_id=user, timeout=1).status == "TIMEOUT"


def test_0_1_1_an_error_does_not_end_the_workflow(tools_on: ToolsOn, world: World, user: str) -> None:
    nowhere = {"connection_string": "postgresql://nobody:nothing@127.0.0.1:1/nowhere"}
    broken = Tools(tools_on("postgres").plugin, world.on_postgres(store=nowhere))
    for tool, parameters in (
        ("search_memory", {"query": "tea", "user_id": user}),
        ("add_memory", {"user": TEA, "user_id": user}),
        ("forget_memories", {"user_id": user}),
    ):
        reply = broken.call(tool, timeout=2, **parameters)
        assert (reply.errors, reply.json["status"] in ("ERROR", "TIMEOUT")) == ([], True), reply.json


def test_0_1_1_what_is_late_leaves_nothing_behind(tools: Tools, world: World, user: str) -> None:
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    for number in range(5):
        assert tools.call("search_memory", query=f"{user} {number}", user_id=user, timeout=1).status == "TIMEOUT"
    eventually(lambda: world.stats()["running"].get("embeddings", 0) == 0)
    assert world.stats()["left"].get("embeddings", 0) >= 5, "they had been asked for"


def test_0_1_3_log_lines_reach_the_container_once(tools: Tools, user: str) -> None:
    run = f"run-{uuid.uuid4().hex}"
    tools.call("get_all_memories", user_id=user, filters="{", run_id=run)
    tools.plugin.wait_for(lambda: tools.plugin.logged(run))
    assert len(tools.plugin.logged(run)) == len(set(tools.plugin.logged(run)))


def test_0_1_5_every_module_can_be_read() -> None:
    modules = {path: content for path, content in plugin_files().items() if path.endswith(".py")}
    assert len([path for path in modules if path.startswith("tools/")]) == 13
    for path, content in modules.items():
        ast.parse(content, path, feature_version=(3, 12))


def test_0_1_6_credentials_have_types_that_dify_knows() -> None:
    kinds = {name: field["type"] for name, field in provider()["credentials_for_provider"].items()}
    assert set(kinds.values()) <= {"secret-input", "text-input", "select", "boolean"}
    assert {name for name in kinds if "secret" in name or "key" in name} == {
        name for name, kind in kinds.items() if kind == "secret-input"
    }


def test_0_1_7_numbers_in_credentials_are_text() -> None:
    fields = provider()["credentials_for_provider"].values()
    assert all(isinstance(one.get("default", ""), str) for one in fields if one["type"] != "boolean")


def test_0_1_7_what_waits_has_a_bound(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres", max_concurrent_memory_operations=1)
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    asked = [tools.start("search_memory", query=f"{user} {number}", user_id=user, timeout=2) for number in range(8)]
    statuses = [tools.plugin.collect(one).status for one in asked]
    assert statuses.count("TIMEOUT") <= 2
    assert statuses.count("OVERLOAD") >= 6


def test_0_1_7_torch_is_not_needed() -> None:
    assert b"torch" not in plugin_files()["requirements.txt"].lower()


def test_0_1_9_idle_connections_are_kept_alive() -> None:
    told = conninfo_to_dict(address_of({"user": "u", "password": "p"}))
    assert (told["keepalives"], told["keepalives_idle"], told["connect_timeout"]) == ("1", "30", "5")


# `test_limits.py` waits until replaced credentials have let go of their connections.


# --- 0.2 ---


def test_0_2_1_a_window_that_grows_backwards_finds_what_is_older(tools: Tools, world: World, user: str) -> None:
    older = world.talks(user, DOG, days_ago=3)
    world.talks(user, TEA, days_ago=1, conversation=older)
    assert extracted(tools, world, user, days_back=1)["summary"]["processed_messages"] == 1
    assert extracted(tools, world, user, days_back=3)["summary"]["processed_messages"] == 1
    assert len(tools.listed(user)) == 2
    assert extracted(tools, world, user, days_back=3)["summary"]["processed_messages"] == 0


def test_0_2_4_extraction_has_no_pool_of_its_own(plugin: PluginProcess, world: World, user: str) -> None:
    name = f"pool-{user}"
    address = {"connection_string": make_conninfo(world.dsn, password=PASSWORD, application_name=name)}
    tools = Tools(plugin, world.on_postgres(store=address)).warm()
    world.talks(user, TEA)
    world.talks(user, "I went to Oslo yesterday.")
    world.talks(user, "First I warm the pot, then I pour the tea.")
    extracted(tools, world, user)
    assert {one["metadata"]["memory_subtype"] for one in tools.listed(user)} == {"semantic", "episodic", "procedural"}
    assert 0 < len(world.backends(name)) <= 10


def test_0_2_5_structured_models_are_understood(plugin: PluginProcess, world: World, user: str) -> None:
    credentials = world.on_postgres()
    model = json.loads(credentials["local_llm_json_secret"])
    structured = {**credentials, "local_llm_json_secret": json.dumps({**model, "provider": "openai_structured"})}
    assert plugin.validate(structured).errors == []
    tools = Tools(plugin, structured).warm()
    assert tools.done("add_memory", user=TEA, user_id=user)["results"]


def test_0_2_5_an_address_of_dify_may_lack_its_v1(tools: Tools, world: World, user: str) -> None:
    world.talks(user, TEA)
    assert extracted(tools, world, user, dify_base_url=world.dify)["summary"]["processed_messages"] == 1


def test_0_2_6_conversations_beyond_the_limit_come_next_time(tools: Tools, world: World, user: str) -> None:
    for hour in range(12):
        world.talks(user, f"I own {hour + 2} cups.", hour=hour)
    first = extracted(tools, world, user, conversations_limit=10)
    assert first["per_user"][0]["stop_reason"] == "max_conversations_reached"
    assert first["summary"]["processed_conversations"] == 10
    second = extracted(tools, world, user, conversations_limit=10)
    assert second["summary"]["processed_conversations"] == 2
    assert len(tools.listed(user)) == 12


def test_0_2_6_notes_of_extraction_are_nobodys_memories(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("qdrant")  # where such notes lie in the store itself
    world.talks(user, TEA)
    extracted(tools, world, user)
    assert len(tools.listed(user)) == 1
    assert tools.listed("memory_extractor") == []
    assert len(tools.done("search_memory", query="conversations processed_range_end", user_id=user, top_k=50)) <= 1


def test_0_2_7_a_conversation_that_goes_on_today_is_read_up_to_yesterday(tools: Tools, world: World, user: str) -> None:
    talk = world.talks(user, TEA, days_ago=1)
    world.talks(user, DOG, days_ago=0, hour=0, conversation=talk)
    assert extracted(tools, world, user)["summary"]["processed_messages"] == 1
    assert tools.texts(user) == ["Likes green tea."]


def test_0_2_7_exactly_as_many_as_the_limit_is_no_stop(tools: Tools, world: World, user: str) -> None:
    for hour in range(10):
        world.talks(user, f"I own {hour + 2} cups.", hour=hour)
    report = extracted(tools, world, user, conversations_limit=10)
    assert report["per_user"][0]["stop_reason"] != "max_conversations_reached"


def test_0_2_8_overload_is_said_at_once_and_writes_nothing(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres", max_concurrent_memory_operations="1")
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    busy = [tools.start("search_memory", query=f"{user} {number}", user_id=user, timeout=3) for number in range(2)]
    reply = tools.call("add_memory", user=TEA, user_id=user)
    assert (reply.status, reply.results) == ("OVERLOAD", [{"id": "", "memory": "", "event": "SKIP"}])
    assert reply.json["messages"] == [{"role": "user", "content": TEA}]
    assert {tools.plugin.collect(one).status for one in busy} == {"TIMEOUT"}
    world.mend()
    assert tools.listed(user) == []


def test_0_2_8_options_in_an_address_keep_their_blanks(plugin: PluginProcess, world: World, user: str) -> None:
    address = make_conninfo(world.dsn, password=PASSWORD, options="-c statement_timeout=30000 -c lock_timeout=20000")
    tools = Tools(plugin, world.on_postgres(store={"connection_string": address})).warm()
    assert tools.listed(user) == []


def test_0_2_9_a_slow_user_holds_up_nobody(tools_on: ToolsOn, world: World, user: str) -> None:
    tools, slow, quick = tools_on("postgres async"), f"{user}-slow", f"{user}-quick"
    for one in (slow, quick):
        world.talks(one, TEA)
    world.dify_fails("slow", text=slow, delay_s=20)
    task = tools.call("extract_long_term_memory", **extraction(world, slow, quick)).json
    assert task["status"] == "ACCEPTED"
    eventually(lambda: tools.listed(quick))
    status = tools.call("check_extraction_status", task_id=task["task_id"]).json
    assert status["task_status"] == "running"
    world.mend()


def test_0_2_10_apps_have_checkpoints_of_their_own(tools: Tools, world: World, user: str) -> None:
    world.talks(user, TEA)
    for app in ("app-1", "app-2"):
        report = extracted(tools, world, user, app_id=app)
        assert report["summary"]["processed_messages"] == 1
        found = tools.call("get_user_checkpoint", user_id=user, app_id=app).json
        assert (found["app_id"], found["conversations_count"]) == (app, 1)


def test_0_2_11_async_and_sync_mode_open_the_same_memory(tools_on: ToolsOn, user: str) -> None:
    memory_id = tools_on("postgres async").remember(user, TEA)
    assert tools_on("postgres").done("get_memory", memory_id=memory_id)["id"] == memory_id


def test_0_2_12_workflows_can_bind_every_parameter() -> None:
    forms = {(tool["identity"]["name"], one["name"]): one["form"] for tool in described() for one in tool["parameters"]}
    assert set(forms.values()) == {"llm"}


# --- 0.3 ---


def test_0_3_0_two_extractions_at_once_do_it_once(tools: Tools, world: World, user: str) -> None:
    for hour in range(6):
        world.talks(user, f"I own {hour + 2} cups.", hour=hour)
    asked = [tools.start("extract_long_term_memory", **extraction(world, user)) for _ in range(3)]
    for one in asked:
        assert tools.plugin.collect(one).json["status"] in ("SUCCESS", "SKIPPED", "PARTIAL_SUCCESS")
    assert tools.texts(user) == sorted(set(tools.texts(user)))
    assert len(tools.listed(user)) == 6


def test_0_3_0_a_provider_that_does_not_exist_is_named(plugin: PluginProcess, world: World) -> None:
    credentials = world.on_postgres()
    credentials["local_llm_json_secret"] = json.dumps({"provider": "mistral", "config": {"api_key": "mistral-k3y"}})
    (error,) = plugin.validate(credentials).errors
    assert "mistral" in error["message"]
    assert "local_llm_json_secret" in error["message"]


def test_0_3_1_ollama_can_be_used(unpacked: Path) -> None:
    assert "ollama==" in (unpacked / "requirements.txt").read_text()


def test_0_3_1_a_slow_model_does_not_lose_a_write(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres async")
    world.fails(chat={"delay_s": 3})
    reply = tools.call("add_memory", user=TEA, user_id=user, timeout=1)
    assert reply.results == [{"id": "", "memory": "", "event": "ACCEPT"}]
    eventually(lambda: tools.listed(user))


@BOTH_MODES
def test_0_3_2_memories_of_others_are_out_of_reach(home: str, tools_on: ToolsOn, user: str) -> None:
    tools = tools_on(home)
    memory_id = tools.remember(user, TEA)
    other = {"memory_id": memory_id, "user_id": f"{user}-2"}
    for tool, more in (
        ("get_memory", {}),
        ("update_memory", {"text": "x"}),
        ("delete_memory", {}),
        ("get_memory_history", {}),
    ):
        assert tools.call(tool, **other, **more).status == "NOT_FOUND"
    assert [one["memory"] for one in tools.listed(user)] == ["Likes green tea."]


def test_0_3_2_no_filter_reaches_others(tools: Tools, user: str) -> None:
    tools.remember(user, TEA)
    for filters in (
        {"OR": [{"user_id": user}, {"user_id": f"{user}-2"}]},
        {"user_id": {"in": [user]}},
        {"NOT": [{"user_id": "nobody"}]},
        {"user_id": "*"},
    ):
        reply = tools.call("search_memory", query="tea", user_id=f"{user}-2", filters=json.dumps(filters))
        assert reply.status == "ERROR" or reply.results == [], reply.json


def test_0_3_12_the_sdk_is_pinned() -> None:
    lines = plugin_files()["requirements.txt"].decode().splitlines()
    pinned = [line for line in lines if line and line[0].isalpha()]
    assert all("==" in line for line in pinned)
    assert any(line.startswith("dify-plugin==") for line in pinned)


def test_0_3_13_long_vectors_need_no_index_that_cannot_be(plugin: PluginProcess, world: World, user: str) -> None:
    config = {"collection_name": f"wide_{uuid.uuid4().hex[:8]}", "embedding_model_dims": 3072}
    credentials = world.on_postgres(store=config)
    embedder = json.loads(credentials["local_embedder_json_secret"])
    embedder["config"]["embedding_dims"] = 3072
    credentials["local_embedder_json_secret"] = json.dumps(embedder)
    tools = Tools(plugin, credentials).warm()
    tools.remember(user, TEA)
    assert tools.done("search_memory", query="green tea", user_id=user)


def test_0_3_13_the_first_heartbeat_comes_before_any_call(plugin: PluginProcess) -> None:
    events = [json.loads(line).get("event") for line in plugin.lines]
    assert "heartbeat" in events
    assert "session" not in events[: events.index("heartbeat")]


def test_0_3_13_validation_ends_and_holds_up_nobody(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres")
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    session = tools.plugin.request("validate_tool_credentials", {"credentials": tools.credentials})
    assert tools.listed(user) == []  # answered meanwhile
    (error,) = tools.plugin.collect(session).errors
    assert "local_embedder_json_secret" in error["message"]


# --- what its stored code still has ---


def test_open_a_long_conversation_is_read_once_over_its_pages(tools: Tools, world: World, user: str) -> None:
    world.talks(user, *(f"I own {number} cups." for number in range(250)))
    report = extracted(tools, world, user)
    assert report["summary"]["scanned_messages"] == 250
    assert report["summary"]["processed_messages"] == 250
    assert extracted(tools, world, user)["summary"]["processed_messages"] == 0


def test_open_a_model_that_fails_moves_no_checkpoint(tools: Tools, world: World, user: str) -> None:
    world.talks(user, TEA)
    world.fails(chat={"status": 500})
    report = tools.call("extract_long_term_memory", **extraction(world, user)).json
    assert report["per_user"][0]["status"] != "SUCCESS"
    world.mend()
    assert extracted(tools, world, user)["summary"]["processed_messages"] == 1
    assert len(tools.listed(user)) == 1


def test_open_a_failed_read_is_no_empty_success(tools: Tools, world: World, user: str) -> None:
    tools.remember(user, TEA)
    world.fails(embeddings={"status": 500})
    assert tools.call("search_memory", query=f"{user}?", user_id=user).status == "ERROR"


def test_open_an_accepted_task_is_known_at_once(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres async")
    task = tools.call("extract_long_term_memory", **extraction(world, user)).json["task_id"]
    assert tools.call("check_extraction_status", task_id=task).status == "SUCCESS"
    eventually(lambda: finished(tools, task))


def test_open_false_as_text_deletes_and_other_words_only_show() -> None:
    assert forget_request({"user_id": "ann", "dry_run": "false"}).dry_run is False
    assert forget_request({"user_id": "ann", "dry_run": "perhaps"}).dry_run is True


def test_open_metadata_that_is_no_json_is_an_error(tools: Tools, user: str) -> None:
    assert tools.call("add_memory", user=TEA, user_id=user, metadata="{topic").status == "ERROR"
    assert tools.listed(user) == []

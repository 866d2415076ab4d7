"""What a plugin promises when things go wrong: time limits, overload, kills, changed credentials, and steady use."""

import uuid

from tests.dify.conftest import StartPlugin
from tests.dify.daemon import PluginProcess
from tests.dify.tools import Tools, ToolsOn
from tests.dify.world import World, eventually

TEA = "I like green tea."
MANY = 2000


# --- time ---


def test_a_search_that_takes_too_long_ends_with_its_request(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres async").warm()
    tools.remember(user, TEA)
    world.fails(embeddings={"mode": "stall"})
    reply = tools.call("search_memory", query=f"tea for {user}", user_id=user, timeout="1")
    assert (reply.status, reply.results) == ("TIMEOUT", [])
    assert reply.json["messages"] == "Operation timed out, returning empty results"
    eventually(lambda: world.stats()["running"].get("embeddings", 0) == 0)
    assert world.stats()["left"].get("embeddings", 0) > 0
    world.mend()
    assert tools.done("search_memory", query="green tea", user_id=user)


def test_a_write_that_takes_too_long_ends_with_its_request_and_writes_nothing(
    tools_on: ToolsOn, world: World, user: str
) -> None:
    tools = tools_on("postgres")
    tools.listed(user)
    world.fails(chat={"mode": "stall"})
    reply = tools.call("add_memory", user=TEA, user_id=user, timeout=1)
    assert reply.status == "TIMEOUT", reply.json
    eventually(lambda: world.stats()["running"].get("chat", 0) == 0)
    assert world.stats()["left"].get("chat", 0) > 0
    world.mend()
    assert tools.listed(user) == []


def test_a_statement_that_takes_too_long_is_ended(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres async")
    memory_id = tools.remember(user, TEA)
    with world.locked("memory_entry"):
        reply = tools.call("get_memory", memory_id=memory_id, timeout=1)
        assert (reply.status, reply.results) == ("TIMEOUT", None)
        assert reply.json["messages"] == f"Operation timed out while retrieving memory: {memory_id}"
        eventually(lambda: world.waiting_statements() == 0)
    assert "green tea" in tools.done("get_memory", memory_id=memory_id)["memory"]


def test_without_a_timeout_of_the_call_a_read_has_five_seconds(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres async")
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    reply = tools.call("search_memory", query=f"anything of {user}", user_id=user, timeout="soon")
    assert reply.status == "TIMEOUT"


def test_in_sync_mode_a_failure_is_no_empty_success(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres")
    tools.remember(user, TEA)
    world.fails(embeddings={"status": 500}, chat={"status": 500})
    reply = tools.call("search_memory", query=f"{user} likes what?", user_id=user)
    assert (reply.status, reply.results) == ("ERROR", []), reply.json
    assert tools.call("add_memory", user="I own a boat.", user_id=user, timeout=20).status in ("ERROR", "TIMEOUT")


# --- how much at once ---


def test_more_than_is_allowed_is_refused_before_it_waits(tools_on: ToolsOn, world: World, user: str) -> None:
    tools = tools_on("postgres", max_concurrent_memory_operations="2")
    tools.listed(user)
    world.fails(embeddings={"mode": "stall"})
    # Two may run and two wait; each asks for something else, so that nothing is known already.
    asked = [
        tools.start("search_memory", query=f"{user} and {number}", user_id=user, timeout=3) for number in range(12)
    ]
    statuses = [tools.plugin.collect(one).status for one in asked]
    assert sorted(set(statuses)) == ["OVERLOAD", "TIMEOUT"]
    assert statuses.count("TIMEOUT") <= 4
    world.mend()
    reply = tools.call("add_memory", user=TEA, user_id=user)
    assert reply.status == "SUCCESS", reply.json


def test_at_most_ten_connections_are_held(start_plugin: StartPlugin, world: World, user: str) -> None:
    plugin, others = start_plugin(), world.backends()
    tools = Tools(plugin, world.on_postgres(asynchronous=True)).warm()
    tools.remember(user, TEA)
    most = 0
    for _ in range(4):
        asked = [tools.start("search_memory", query=f"tea {number}", user_id=user) for number in range(32)]
        asked += [tools.start("add_memory", user=f"I own {number} cups.", user_id=user) for number in range(8)]
        most = max(most, len(world.backends() - others))
        for one in asked:
            assert tools.plugin.collect(one).status in ("SUCCESS", "OVERLOAD")
        most = max(most, len(world.backends() - others))
    assert 0 < most <= 10


# --- how it ends ---


def test_what_was_accepted_survives_kill_9(start_plugin: StartPlugin, world: World, user: str) -> None:
    credentials = world.on_postgres(asynchronous=True)
    killed = start_plugin()
    tools = Tools(killed, credentials).warm()
    world.fails(chat={"mode": "stall"})  # so that nothing of it can be done before
    for number in range(5):
        assert tools.call("add_memory", user=f"I own {number + 2} cats.", user_id=user).status == "SUCCESS"
    killed.kill()
    world.mend()
    again = Tools(start_plugin(), credentials).warm()
    eventually(lambda: len(again.listed(user)) == 5, within_s=40)
    assert len(set(again.texts(user))) == 5  # each once


def test_sigterm_ends_what_was_accepted(start_plugin: StartPlugin, world: World, user: str) -> None:
    before = world.backends()
    plugin = start_plugin()
    tools = Tools(plugin, world.on_postgres(asynchronous=True)).warm()
    for number in range(5):
        # As it is said: five calls of a model may take longer than the end; then the next start does the rest.
        tools.done("add_memory", user=f"I own {number + 2} cats.", user_id=user, infer=False)
    assert plugin.terminate() == 0
    assert world.rows("SELECT count(*) FROM memory_entry WHERE user_id = %s", user) == [(5,)]
    assert not world.backends() - before


def test_a_bad_line_from_the_daemon_is_answered_and_survived(
    plugin: PluginProcess, tools_on: ToolsOn, user: str
) -> None:
    plugin.send("this is no JSON")
    plugin.wait_for(lambda: plugin.logged("error:"))
    assert tools_on("postgres").listed(user) == []


# --- changes while it runs ---


def test_0_1_9_replaced_credentials_close_old_connections(start_plugin: StartPlugin, world: World, user: str) -> None:
    plugin, others = start_plugin(), world.backends()
    Tools(plugin, world.on_postgres(store={"pool_max_waiting": 50})).warm()
    before = world.backends() - others
    second = Tools(plugin, world.on_postgres(store={"pool_max_waiting": 60})).warm()
    assert before

    def closed() -> bool:
        second.listed(user)  # the first is let go once it has not been asked for a while
        return not before & world.backends()

    eventually(closed, within_s=90)


def test_the_log_level_changes_at_once(tools_on: ToolsOn, user: str) -> None:
    run = f"run-{uuid.uuid4().hex[:8]}"
    loud, quiet = tools_on("postgres", log_level="DEBUG"), tools_on("postgres", log_level="ERROR")
    loud.call("search_memory", query="tea", user_id="", agent_id="", run_id=f"{run}-loud")
    quiet.call("search_memory", query="tea", user_id="", agent_id="", run_id=f"{run}-quiet")
    loud.call("search_memory", query="tea", user_id="", agent_id="", run_id=f"{run}-again")
    loud.plugin.wait_for(lambda: loud.plugin.logged(f"{run}-again"))
    assert loud.plugin.logged(f"{run}-loud")
    assert not loud.plugin.logged(f"{run}-quiet")


def test_every_line_of_a_request_says_which_it_belongs_to(tools_on: ToolsOn, user: str) -> None:
    run = f"run-{uuid.uuid4().hex[:8]}"
    tools = tools_on("postgres")
    tools.call("get_all_memories", user_id=user, filters="{", run_id=run)
    tools.plugin.wait_for(lambda: tools.plugin.logged(run))
    assert all(line.startswith(f"[req:{run}] ") for line in tools.plugin.logged(run))
    others = [one["message"] for one in tools.plugin.log if not one["message"].startswith("[req:")]
    assert not [line for line in others if "memory" in line.lower()], others


def test_no_line_of_the_log_comes_twice(tools_on: ToolsOn, user: str) -> None:
    run = f"run-{uuid.uuid4().hex[:8]}"
    tools = tools_on("postgres")
    tools.call("get_all_memories", user_id=user, filters="{", run_id=run)
    tools.plugin.wait_for(lambda: tools.plugin.logged(run))
    assert len(tools.plugin.logged(run)) == len(set(tools.plugin.logged(run)))


# --- steady use ---


def test_heartbeats_cost_no_model(plugin: PluginProcess, tools_on: ToolsOn, world: World, user: str) -> None:
    tools_on("postgres", heartbeat_interval="30").listed(user)
    before, beats = world.model_calls(), plugin.heartbeats
    plugin.wait_for(lambda: plugin.heartbeats > beats, within_s=60)
    assert world.model_calls() == before


def test_memory_and_threads_stay_flat_over_two_thousand_calls(
    plugin: PluginProcess, tools_on: ToolsOn, user: str
) -> None:
    tools = tools_on("postgres")
    memory_id = tools.remember(user, TEA)
    calls = (
        ("search_memory", {"query": "tea", "user_id": user}),
        ("get_all_memories", {"user_id": user}),
        ("get_memory", {"memory_id": memory_id}),
        ("get_memory_history", {"memory_id": memory_id}),
        ("add_memory", {"user": " ", "user_id": user}),
    )

    def go_on(count: int) -> tuple[int, int, int]:
        for first in range(0, count, 20):
            picked = [calls[number % len(calls)] for number in range(first, first + 20)]
            asked = [tools.start(tool, **parameters) for tool, parameters in picked]
            for one in asked:
                assert plugin.collect(one).status == "SUCCESS"
        return plugin.memory_kib(), plugin.threads(), plugin.descriptors()

    go_on(400)  # what is made once, such as caches and pools
    kib, threads, descriptors = go_on(200)
    kib_after, threads_after, descriptors_after = go_on(MANY)
    assert threads_after <= threads
    assert descriptors_after <= descriptors + 4
    assert kib_after - kib < 8 * 1024

"""The plugin as the daemon meets it: what it brings, how it starts, and whether its credentials work."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dify.conftest import StartPlugin
from tests.dify.daemon import PluginProcess
from tests.dify.environment import Environment
from tests.dify.tools import ToolsOn
from tests.dify.world import Credentials, World

_MOST_INSTALLED = 300_000_000


def test_what_is_installed_is_small_and_has_no_torch(plugin_environment: Environment) -> None:
    assert plugin_environment.size() <= _MOST_INSTALLED
    assert not {"torch", "onnxruntime", "transformers"} & plugin_environment.packages()
    if plugin_environment.is_the_daemons:
        assert tuple(map(int, plugin_environment.sdk.split("."))) >= (0, 9, 0)


def test_it_says_who_it_is(plugin: PluginProcess) -> None:
    assert (plugin.manifest["name"], plugin.manifest["type"]) == ("mem0", "plugin")


def test_it_is_ready_before_anything_heavy_is_loaded(start_plugin: StartPlugin) -> None:
    """What mem0 brings along takes seconds to load, so it is loaded when it is first needed."""
    loaded = _libraries(start_plugin())
    assert "gevent" in loaded
    assert not {"grpc", "numpy", "sqlalchemy"} & loaded


@pytest.mark.parametrize("home", ["postgres", "qdrant", "platform"])
def test_good_credentials(home: str, tools_on: ToolsOn) -> None:
    tools = tools_on(home)
    reply = tools.plugin.validate(tools.credentials)
    assert (reply.errors, reply.messages) == ([], [{"result": True}])


def changed(credentials: Credentials, name: str, **config: Any) -> Credentials:
    part = json.loads(str(credentials[name]))
    return {**credentials, name: json.dumps({**part, "config": {**part["config"], **config}})}


def test_the_part_that_fails_is_named(plugin: PluginProcess, world: World) -> None:
    good = world.on_postgres()
    nowhere = "postgresql://xiaozhi:0therpa55word@127.0.0.1:1/nothing"
    wrong: dict[str, Credentials] = {
        "local_llm_json_secret": changed(good, "local_llm_json_secret", api_key="sk-wr0ngwr0ng"),
        "local_embedder_json_secret": changed(
            good, "local_embedder_json_secret", openai_base_url="http://127.0.0.1:1/v1"
        ),
        "local_vector_db_json_secret": changed(good, "local_vector_db_json_secret", connection_string=nowhere),
        "mem0_api_key": {"mem0_api_key": "m0-wr0ngwr0ng", "mem0_host": world.cloud},
    }
    for name, credentials in wrong.items():
        (error,) = plugin.validate(credentials).errors
        assert error["error_type"] == "ToolProviderCredentialValidationError"
        assert name in error["message"]
        for secret in ("wr0ng", "0therpa55word"):
            assert secret not in json.dumps(error)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "mem0_api_key"),
        ({"local_llm_json_secret": "{"}, "self-hosted mode needs"),
        ({"mem0_api_key": "m0 with blanks"}, "mem0_api_key"),
        ({"mem0_api_key": "m0-key", "mem0_host": "nowhere"}, "mem0_host"),
    ],
)
def test_credentials_that_cannot_work(given: dict[str, str], told: str, plugin: PluginProcess) -> None:
    (error,) = plugin.validate(given).errors
    assert told in error["message"]


def test_a_tool_with_credentials_that_cannot_work_answers_all_the_same(plugin: PluginProcess) -> None:
    reply = plugin.invoke("search_memory", {"query": "tea", "user_id": "ann"}, {})
    assert (reply.status, reply.errors) == ("ERROR", [])


def _libraries(plugin: PluginProcess) -> set[str]:
    """The packages that it has loaded something compiled of."""
    lines = Path(f"/proc/{plugin.process.pid}/maps").read_text().splitlines()
    return {line.split("/site-packages/")[1].split("/")[0] for line in lines if "/site-packages/" in line}

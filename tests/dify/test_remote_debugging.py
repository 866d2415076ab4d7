"""The plugin under somebody's debugger: it connects to a daemon elsewhere and serves it as it serves the one here."""

from pathlib import Path

from tests.dify.environment import Environment
from tests.dify.remote import KEY, RemotePlugin
from tests.dify.tools import Tools
from tests.dify.world import APP_KEY, MODEL_KEY, PASSWORD, World


def test_it_says_what_it_is_and_serves(
    plugin_environment: Environment, unpacked: Path, world: World, tmp_path: Path, user: str
) -> None:
    plugin = RemotePlugin(plugin_environment.python, unpacked, tmp_path)
    plugin.secrets |= {MODEL_KEY, APP_KEY, PASSWORD}
    with plugin.started():
        kinds = [one["type"] for one in plugin.declared]
        assert list(dict.fromkeys(kinds)) == [
            "handshake", "manifest_declaration", "tool_declaration", "asset_chunk", "end"
        ]  # fmt: skip
        assert plugin.declared[0]["data"]["key"] == KEY
        assert plugin.declared[1]["data"]["name"] == "mem0"
        (provider,) = plugin.declared[2]["data"]
        assert len(provider["tools"]) == 13
        assert {Path(name).name: data for name, data in plugin.assets.items()} == {
            path.name: path.read_bytes() for path in (unpacked / "_assets").iterdir()
        }
        assert plugin.validate(world.on_postgres()).errors == []
        tools = Tools(plugin, world.on_postgres()).warm()
        tools.remember(user, "I like green tea.")
        assert tools.done("search_memory", query="green tea", user_id=user)
        assert plugin.holds_secret() == []

"""The device's MCP server: what it answers, refuses, and leaves without an answer."""

import json
from typing import Any

import pytest

from firmware_sim.tools import Hardware, Tool, ToolServer, standard_tools


def server(*tools: Tool) -> ToolServer:
    return ToolServer([*standard_tools(Hardware()), *tools], name="board", version="1.0")


def ask(tools: ToolServer, method: str, **params: object) -> dict[str, Any]:
    answer = tools.answer({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    assert answer is not None
    parsed: dict[str, Any] = json.loads(answer)
    assert parsed["id"] == 7
    return parsed


def test_initialize_keeps_the_camera_endpoint() -> None:
    tools = server()
    result = ask(tools, "initialize", capabilities={"vision": {"url": "http://x", "token": "t"}})["result"]
    assert result["serverInfo"] == {"name": "board", "version": "1.0"}
    assert tools.vision["url"] == "http://x"


def test_user_tools_are_listed_on_demand_only() -> None:
    usual = {tool["name"] for tool in ask(server(), "tools/list")["result"]["tools"]}
    every = {tool["name"] for tool in ask(server(), "tools/list", withUserTools=True)["result"]["tools"]}
    assert "self.audio_speaker.set_volume" in usual
    assert every - usual == {"self.get_system_info", "self.reboot"}


def test_long_lists_come_in_pages() -> None:
    tools = server(*(Tool(f"extra.{index}", "x" * 900, lambda _: True) for index in range(20)))
    names: list[str] = []
    cursor = ""
    pages = 0
    while True:
        result = ask(tools, "tools/list", cursor=cursor)["result"]
        assert len(json.dumps(result)) < 8200
        names += [tool["name"] for tool in result["tools"]]
        pages += 1
        cursor = result.get("nextCursor", "")
        if not cursor:
            break
    assert pages > 2
    assert len(names) == len(set(names)) == 24
    assert "error" in ask(tools, "tools/list", cursor="unknown")


def test_volume_is_set() -> None:
    hardware = Hardware()
    tools = ToolServer(standard_tools(hardware), name="b", version="1")
    result = ask(tools, "tools/call", name="self.audio_speaker.set_volume", arguments={"volume": 30.9})["result"]
    assert result == {"content": [{"type": "text", "text": "true"}], "isError": False}
    assert hardware.volume == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Missing valid argument: volume"),
        ({"volume": "30"}, "Missing valid argument: volume"),
        ({"volume": -1}, "Value is below minimum allowed: 0"),
        ({"volume": 101}, "Value exceeds maximum allowed: 100"),
    ],
)
def test_wrong_arguments_are_errors_without_a_code(arguments: dict[str, object], message: str) -> None:
    answer = ask(server(), "tools/call", name="self.audio_speaker.set_volume", arguments=arguments)
    assert answer["error"] == {"message": message}


def test_a_wrong_optional_argument_becomes_its_default() -> None:
    properties = {"times": {"type": "integer", "default": 3}}
    tool = Tool("beep", "Beeps.", lambda arguments: arguments["times"], properties)
    answer = ask(server(tool), "tools/call", name="beep", arguments={"times": "many"})
    assert answer["result"]["content"][0]["text"] == "3"


def test_a_quote_in_an_error_breaks_the_message() -> None:
    answer = server().answer(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 'x"y', "arguments": {}}}
    )
    assert answer is not None
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(answer)


@pytest.mark.parametrize(
    "request_",
    [
        {"jsonrpc": "2.0", "id": "1", "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": None},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": []},
        {"jsonrpc": "1.0", "id": 1, "method": "tools/list"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        "text",
    ],
)
def test_some_requests_are_met_with_silence(request_: object) -> None:
    assert server().answer(request_) is None


def test_what_a_tool_throws_is_its_error() -> None:
    def burn(_: object) -> bool:
        raise OSError("too hot")

    tools = server(Tool("self.toaster.toast", "Toasts.", burn))
    assert ask(tools, "tools/call", name="self.toaster.toast", arguments={})["error"] == {"message": "too hot"}

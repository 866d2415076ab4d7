"""The device's own tools, offered to the server as an MCP server with the firmware's strictness and silences.

It knows JSON-RPC objects only: who carries them is the device's business.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PAGE_CHARACTERS = 8000
_TYPES: Mapping[str, tuple[type, ...]] = {"boolean": (bool,), "integer": (int, float), "string": (str,)}

Arguments = Mapping[str, Any]
ToolResult = bool | int | str | Mapping[str, Any]


class ToolError(Exception):
    """The tool cannot do what was asked; the text goes back to the server."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: `properties` as in a JSON schema; a property without a default is required."""

    name: str
    description: str
    call: Callable[[Arguments], ToolResult]
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    user_only: bool = False

    def describe(self) -> dict[str, Any]:
        required = [name for name, schema in self.properties.items() if "default" not in schema]
        schema: dict[str, Any] = {"type": "object", "properties": dict(self.properties)}
        described: dict[str, Any] = {"name": self.name, "description": self.description, "inputSchema": schema}
        if required:
            schema["required"] = required
        if self.user_only:
            described["annotations"] = {"audience": ["user"]}
        return described

    def arguments(self, given: Arguments) -> dict[str, Any]:
        return {name: _argument(name, schema, given) for name, schema in self.properties.items()}


def _argument(name: str, schema: Mapping[str, Any], given: Arguments) -> bool | int | str:
    value = given.get(name)
    if not _fits(value, schema["type"]):
        if "default" not in schema:
            raise ToolError(f"Missing valid argument: {name}")
        value = schema["default"]
    if schema["type"] == "integer":
        return _bounded(int(value), schema)  # type: ignore[arg-type]  # _fits has told that it is a number
    assert isinstance(value, bool | str)
    return value


def _fits(value: object, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _bounded(value: int, schema: Mapping[str, Any]) -> int:
    if "minimum" in schema and value < schema["minimum"]:
        raise ToolError(f"Value is below minimum allowed: {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        raise ToolError(f"Value exceeds maximum allowed: {schema['maximum']}")
    return value


@dataclass(slots=True)
class Hardware:
    """What the tools of every build can change."""

    volume: int = 70
    brightness: int = 75
    theme: str = "light"

    def status(self, _: Arguments) -> ToolResult:
        return {
            "audio_speaker": {"volume": self.volume},
            "screen": {"brightness": self.brightness, "theme": self.theme},
            "network": {"type": "wifi", "ssid": "simulated", "signal": "strong"},
        }

    def set_volume(self, arguments: Arguments) -> ToolResult:
        self.volume = arguments["volume"]
        return True

    def set_brightness(self, arguments: Arguments) -> ToolResult:
        self.brightness = arguments["brightness"]
        return True

    def set_theme(self, arguments: Arguments) -> ToolResult:
        self.theme = arguments["theme"]
        return True


def standard_tools(hardware: Hardware) -> list[Tool]:
    percent = {"type": "integer", "minimum": 0, "maximum": 100}
    return [
        Tool("self.get_device_status", "Tells the state of speaker, screen and network.", hardware.status),
        Tool("self.audio_speaker.set_volume", "Sets how loud it speaks.", hardware.set_volume, {"volume": percent}),
        Tool(
            "self.screen.set_brightness", "Sets the screen's light.", hardware.set_brightness, {"brightness": percent}
        ),
        Tool("self.screen.set_theme", "Sets light or dark.", hardware.set_theme, {"theme": {"type": "string"}}),
        Tool("self.get_system_info", "Tells about the chip.", lambda _: {"chip": "esp32s3"}, user_only=True),
        Tool("self.reboot", "Restarts the device.", lambda _: True, user_only=True),
    ]


class ToolServer:
    """Answers JSON-RPC requests; None stands for the firmware's silence."""

    def __init__(self, tools: Sequence[Tool], *, name: str, version: str) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._info = {"name": name, "version": version}
        self.calls: list[tuple[str, Arguments]] = []
        self.vision: Mapping[str, Any] = {}

    def answer(self, request: object) -> str | None:
        """The answer as JSON text: built as the firmware does, so a quote in an error message breaks it."""
        if not isinstance(request, dict) or not _is_answerable(request):
            return None
        number = int(request["id"])
        try:
            result = self._result(request["method"], request.get("params") or {})
        except ToolError as error:
            return f'{{"jsonrpc":"2.0","id":{number},"error":{{"message":"{error}"}}}}'
        return f'{{"jsonrpc":"2.0","id":{number},"result":{json.dumps(result, ensure_ascii=False)}}}'

    def _result(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        match method:
            case "initialize":
                return self._initialize(params)
            case "tools/list":
                return self._page(str(params.get("cursor") or ""), params.get("withUserTools") is True)
            case "tools/call":
                return self._call(params)
        raise ToolError(f"Method not implemented: {method}")

    def _initialize(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        capabilities = params.get("capabilities")
        vision = capabilities.get("vision") if isinstance(capabilities, dict) else None
        if isinstance(vision, dict):
            self.vision = vision
        return {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": self._info}

    def _page(self, cursor: str, with_user_tools: bool) -> Mapping[str, Any]:
        offered = [tool for tool in self._tools.values() if with_user_tools or not tool.user_only]
        names = [tool.name for tool in offered]
        if cursor and cursor not in names:
            raise ToolError(f"Unknown cursor: {cursor}")
        page: list[Mapping[str, Any]] = []
        size = 0
        for tool in offered[names.index(cursor) if cursor else 0 :]:
            described = tool.describe()
            size += len(json.dumps(described, ensure_ascii=False))
            if size > _PAGE_CHARACTERS and not page:
                raise ToolError(f"Failed to add tool {tool.name}: too large")
            if size > _PAGE_CHARACTERS:
                return {"tools": page, "nextCursor": tool.name}
            page.append(described)
        return {"tools": page}

    def _call(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        name, arguments = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str):
            raise ToolError("Missing name")
        if not isinstance(arguments, dict):
            raise ToolError("Invalid arguments")
        tool = self._tools.get(name)
        if tool is None:
            raise ToolError(f"Unknown tool: {name}")
        checked = tool.arguments(arguments)
        self.calls.append((name, checked))
        return {"content": [{"type": "text", "text": _as_text(_outcome(tool, checked))}], "isError": False}


def _outcome(tool: Tool, arguments: Arguments) -> ToolResult:
    try:
        return tool.call(arguments)
    except Exception as error:  # whatever a tool throws, the firmware sends its text as the error
        raise ToolError(str(error)) from error


def _is_answerable(request: Mapping[str, Any]) -> bool:
    """The firmware answers numbered requests only, and drops what is not exactly as it expects without a word."""
    number, method = request.get("id"), request.get("method")
    return (
        request.get("jsonrpc") == "2.0"
        and isinstance(method, str)
        and not method.startswith("notifications")
        and isinstance(request.get("params", {}), dict)
        and isinstance(number, int | float)
        and not isinstance(number, bool)
    )


def _as_text(result: ToolResult) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)

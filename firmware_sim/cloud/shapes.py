"""The JSON shapes of a chat answer, whole and streamed. No I/O."""

import json
import re
from typing import Any

from firmware_sim.cloud.answers import Answer
from firmware_sim.cloud.tokens import tokens_in

_PIECES = re.compile(r"[\u3000-\u9fff\uff00-\uffef]{1,2}|[^\s\u3000-\u9fff\uff00-\uffef]+\s*|\s+")

Json = dict[str, Any]


def completion(given: Answer, *, asked: int) -> Json:
    """`asked` is how many tokens the request had."""
    message: Json = {"role": "assistant", "content": given.text or None}
    if given.call:
        message["tool_calls"] = [_tool_call(given)]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if given.call else "stop"}
    return _envelope("chat.completion", [choice]) | {"usage": _usage(given, asked)}


def chat_events(given: Answer, *, usage_of: int | None) -> list[bytes]:
    """Server-sent events: a role, the pieces, the end; the usage where the number of tokens asked is given."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *_deltas(given)]
    events = [_event([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    events.append(_event([{"index": 0, "delta": {}, "finish_reason": "tool_calls" if given.call else "stop"}]))
    if usage_of is not None:
        closing = _envelope("chat.completion.chunk", []) | {"usage": _usage(given, usage_of)}
        events.append(f"data: {json.dumps(closing)}\n\n".encode())
    return [*events, b"data: [DONE]\n\n"]


def _deltas(given: Answer) -> list[Json]:
    if given.call is None:
        return [{"content": piece} for piece in _PIECES.findall(given.text)]
    call = _tool_call(given)
    arguments = given.call.arguments
    opening = call | {"index": 0, "function": {"name": given.call.name, "arguments": ""}}
    middle = len(arguments) // 2
    halves = [
        {"index": 0, "function": {"arguments": half}} for half in (arguments[:middle], arguments[middle:]) if half
    ]
    return [{"tool_calls": [part]} for part in (opening, *halves)]


def _tool_call(given: Answer) -> Json:
    assert given.call is not None
    function = {"name": given.call.name, "arguments": given.call.arguments}
    return {"id": "call_1", "type": "function", "function": function}


def _event(choices: list[Json]) -> bytes:
    return f"data: {json.dumps(_envelope('chat.completion.chunk', choices))}\n\n".encode()


def _envelope(kind: str, choices: list[Json]) -> Json:
    return {"id": "stand-in-1", "object": kind, "created": 0, "model": "stand-in", "choices": choices}


def _usage(given: Answer, asked: int) -> Json:
    answered = tokens_in(given.text) + (tokens_in(given.call.arguments) if given.call else 0)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}

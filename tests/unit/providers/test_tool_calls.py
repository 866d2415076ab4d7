"""Pieces of tool calls as servers send them, tidy and not."""

from typing import Any

import pytest

from xiaozhi_server.core.providers.llm.base import ToolCall
from xiaozhi_server.core.providers.llm.tool_calls import MAX_ARGUMENT_CHARACTERS, MAX_CALLS, ToolCallJoiner


def piece(index: int | None, call_id: str | None = None, name: str | None = None, arguments: str | None = None) -> Any:
    return {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}


def join(*pieces: Any) -> list[ToolCall]:
    joiner = ToolCallJoiner()
    for each in pieces:
        joiner.add([each])
    return joiner.joined()


def test_by_index() -> None:
    pieces = [piece(0, "a", "f", ""), piece(1, "b", "g"), piece(0, None, None, "{}"), piece(1, None, None, "[]")]
    assert join(*pieces) == [ToolCall("a", "f", "{}"), ToolCall("b", "g", "[]")]


def test_whole_calls_that_are_all_numbered_0_or_not_at_all() -> None:
    for index in (0, None):
        pieces = [piece(index, "a", "f", "{}"), piece(index, "b", "g", '{"x":'), piece(index, None, None, "1}")]
        assert join(*pieces) == [ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}')]


def test_id_and_name_repeated_in_every_piece() -> None:
    assert join(piece(0, "a", "f", "{"), piece(0, "a", "f", "}")) == [ToolCall("a", "f", "{}")]


def test_what_is_left_out_is_filled_in() -> None:
    assert join(piece(0, None, "f"), piece(1, None, "g")) == [
        ToolCall("call_0", "f", "{}"),
        ToolCall("call_1", "g", "{}"),
    ]
    assert join() == []


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "a", None, "{}")],
        [piece(0, "a", "f", "x" * MAX_ARGUMENT_CHARACTERS), piece(0, None, None, "x")],
        [{"index": 0, "function": {"name": {"f": 1}}}],
        [{"index": 0, "id": 5}],
        [piece(index, None, "f") for index in range(MAX_CALLS + 1)],
    ],
)
def test_nonsense_is_refused(pieces: list[Any]) -> None:
    with pytest.raises(ValueError, match="tool call"):
        join(*pieces)

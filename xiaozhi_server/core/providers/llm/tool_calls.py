"""Joins the pieces in which a chat stream delivers tool calls, including the deviations of OpenAI-like servers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .base import ToolCall

MAX_CALLS = 32
MAX_ARGUMENT_CHARACTERS = 65_536


@dataclass(slots=True)
class _Pieces:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def joined(self, position: int) -> ToolCall:
        if not self.name:
            raise ValueError("a tool call without a name")
        return ToolCall(self.id or f"call_{position}", self.name, "".join(self.arguments) or "{}")


class ToolCallJoiner:
    """Raises ValueError where the pieces make no calls, or more than anybody means."""

    def __init__(self) -> None:
        self._calls: list[_Pieces] = []
        self._argument_characters = 0

    def add(self, deltas: Sequence[Mapping[str, Any]]) -> None:
        for delta in deltas:
            self._add_one(delta)

    def joined(self) -> list[ToolCall]:
        return [pieces.joined(position) for position, pieces in enumerate(self._calls)]

    def _add_one(self, delta: Mapping[str, Any]) -> None:
        pieces = self._pieces_of(delta)
        function = delta.get("function") or {}
        pieces.id = _text(delta, "id") or pieces.id
        pieces.name = _text(function, "name") or pieces.name
        arguments = _text(function, "arguments")
        self._argument_characters += len(arguments)
        if self._argument_characters > MAX_ARGUMENT_CHARACTERS:
            raise ValueError("tool call arguments without end")
        pieces.arguments.append(arguments)

    def _pieces_of(self, delta: Mapping[str, Any]) -> _Pieces:
        """Pieces belong together by index; some servers leave it out or number every call 0, then a new id tells."""
        index, call_id = delta.get("index"), _text(delta, "id")
        for pieces in reversed(self._calls):
            if pieces.index == index and (not call_id or not pieces.id or call_id == pieces.id):
                return pieces
        if len(self._calls) == MAX_CALLS:
            raise ValueError("tool calls without end")
        self._calls.append(_Pieces(index))
        return self._calls[-1]


def _text(piece: Mapping[str, Any], name: str) -> str:
    value = piece.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"a tool call whose {name} is no text")
    return value or ""

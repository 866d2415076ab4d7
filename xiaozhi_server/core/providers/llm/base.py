"""The port to a language model. It knows messages and tokens, nothing of devices or turns."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """`speaker` names the person whose voice was recognised: a model is told so before their words."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    speaker: str | None = None

    @property
    def told(self) -> str:
        """The content as a model reads it."""
        return self.content if self.speaker is None else f"{self.speaker}: {self.content}"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallRequest:
    """One complete tool call; the adapter has joined its streamed pieces."""

    call: ToolCall


LlmEvent = TextDelta | ToolCallRequest


class Llm(Protocol):
    """One instance serves all devices; each stream is independent of the others."""

    def stream(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = ()) -> AsyncIterator[LlmEvent]:
        """Yield the answer piece by piece. Closing the iterator ends the request."""
        ...

    async def probe(self) -> str:
        """Make one small real request; return what answered, raise what failed."""
        ...

    async def close(self) -> None: ...

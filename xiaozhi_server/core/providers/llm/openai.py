"""The model behind any server with OpenAI's chat interface: streams text, joins tool calls, drops reasoning."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

import aiohttp
from pydantic import AliasChoices, Field

from ..openai_endpoint import (
    EVENTS_TYPE,
    Endpoint,
    EndpointConfig,
    OptionalCount,
    OptionalNumber,
    Request,
    json_request,
)
from .base import ChatMessage, LlmEvent, TextDelta, ToolCallRequest, ToolSpec
from .tool_calls import ToolCallJoiner


class OpenAiLlmConfig(EndpointConfig):
    model_name: str = Field(default="gpt-4.1-mini", min_length=1, validation_alias=AliasChoices("model_name", "model"))
    # Sent only where set: some models take one fixed value and refuse any other.
    temperature: OptionalNumber = None
    top_p: OptionalNumber = None
    frequency_penalty: OptionalNumber = None
    max_tokens: OptionalCount = None
    # What only this service knows, such as how to keep a model from thinking; sent as it is.
    extra_body: dict[str, Any] = Field(default_factory=dict)


class OpenAiLlm:
    Config: ClassVar[type[OpenAiLlmConfig]] = OpenAiLlmConfig

    def __init__(self, config: OpenAiLlmConfig) -> None:
        self._config = config
        self._endpoint = Endpoint(config, "/chat/completions")

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[LlmEvent, None]:
        answer = await self._endpoint.open(self._request(messages, tools))
        events = self._endpoint.pieces(answer, self._events(answer))
        async with aclosing(events):
            async for event in events:
                yield event

    async def probe(self) -> str:
        request = self._request([ChatMessage("user", "Say OK.")], ())
        async with asyncio.timeout(self._config.timeout_s):
            answer = await self._endpoint.open(request)
            chunks = self._endpoint.pieces(answer, self._endpoint.chunks(answer))
            async with aclosing(chunks):
                async for chunk in chunks:
                    if _delta(chunk) is not None:
                        return f"{self._config.model_name} at {self._endpoint.where}"
        raise self._endpoint.nonsense("the stream held no answer")

    async def close(self) -> None:
        await self._endpoint.close()

    async def _events(self, answer: aiohttp.ClientResponse) -> AsyncGenerator[LlmEvent, None]:
        """Nonsense surfaces here as one of Python's errors of shape."""
        joiner = ToolCallJoiner()
        anything = False
        async with aclosing(self._endpoint.chunks(answer)) as chunks:
            async for chunk in chunks:
                if (delta := _delta(chunk)) is None:
                    continue
                anything = True
                if isinstance(text := delta.get("content"), str) and text:
                    yield TextDelta(text)
                joiner.add(delta.get("tool_calls") or ())
        if not anything:
            raise self._endpoint.nonsense("the stream held no answer")
        for call in joiner.joined():
            yield ToolCallRequest(call)

    def _request(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> Request:
        config = self._config
        settings: dict[str, Any] = {
            "temperature": config.temperature,
            "top_p": config.top_p,
            "frequency_penalty": config.frequency_penalty,
            "max_tokens": config.max_tokens,
            "tools": [_tool_body(tool) for tool in tools] or None,
        }
        chosen = {name: value for name, value in settings.items() if value is not None}
        messages_body = [_message_body(message) for message in messages]
        own = {"model": config.model_name, "messages": messages_body, **chosen, "stream": True}
        return json_request({**config.extra_body, **own}, EVENTS_TYPE)


def _delta(chunk: Any) -> Any:
    """What is new in a chunk; None in one that only counts tokens or keeps the line open."""
    choices = chunk.get("choices")
    return (choices[0].get("delta") or {}) if choices else None


def _message_body(message: ChatMessage) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.told}
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    return body


def _tool_body(tool: ToolSpec) -> dict[str, Any]:
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }

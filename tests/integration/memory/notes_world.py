"""The model that writes notes in tests: a stand-in over a real socket, whose answer can be held back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from xiaozhi_server.core.providers.llm.base import ChatMessage, TextDelta
from xiaozhi_server.core.providers.llm.openai import OpenAiLlm, OpenAiLlmConfig


@dataclass(frozen=True, slots=True)
class Gate:
    """`answered`: the model has answered. Nobody hears it before `opened`."""

    answered: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class LlmModel:
    def __init__(self, llm: OpenAiLlm, gate: Gate | None = None) -> None:
        self._llm = llm
        self._gate = gate

    async def complete(self, system: str, user: str, max_tokens: int) -> str:
        pieces = self._llm.stream([ChatMessage("system", system), ChatMessage("user", user)])
        answer = "".join([piece.text async for piece in pieces if isinstance(piece, TextDelta)])
        if self._gate is not None:
            self._gate.answered.set()
            await self._gate.opened.wait()
        return answer


@asynccontextmanager
async def model_at(base_url: str, gate: Gate | None = None) -> AsyncIterator[LlmModel]:
    llm = OpenAiLlm(OpenAiLlmConfig(base_url=base_url, timeout_s=0.5))
    try:
        yield LlmModel(llm, gate)
    finally:
        await llm.close()

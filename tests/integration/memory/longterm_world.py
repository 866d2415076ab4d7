"""Long-term extraction between a real database, a stand-in for Dify's API and a scripted language model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.integration.memory.mem0_world import Pool
from tests.support.dify_api import KEY, DifyStandIn
from tests.support.scripted_model import Asked, ScriptedModel
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.ask_model import Mem0Model
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.beside_postgres import PostgresBeside
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.bridge import Mem0Bridge
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import (
    ExtractingSaver,
    ExtractionOptions,
    Mem0Extractor,
)
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_parts import open_llm, part_of
from xiaozhi_server.core.providers.memory.mem0ai.longterm.dify_api import DifyOptions
from xiaozhi_server.core.providers.memory.mem0ai.longterm.door import ExtractionRequest, LongTerm, on_postgres
from xiaozhi_server.core.providers.memory.mem0ai.longterm.pool import Ceiling
from xiaozhi_server.core.providers.memory.mem0ai.longterm.window import Window
from xiaozhi_server.core.providers.memory.mem0ai.observe import NoObserver
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

DAY = datetime(2026, 11, 19, tzinfo=UTC)
WINDOW = Window(DAY, DAY + timedelta(days=1))
APP = "app-1"
OPTIONS = ExtractionOptions(timeout_s=10.0)

# What the scripted model takes each conversation for, and what it finds in it: every sentence of the user's.
_SIGNS = (("PROCEDURAL", "first"), ("EPISODIC", "went"), ("SEMANTIC", "like"))
LIKES, WENT, STEPS = "I like plums very much.", "I went to Gdansk by train.", "To make tea I first warm the pot."
QUESTION = "What is the capital of Norway?"


def answers(asked: Asked) -> Any:
    return kinds(asked) if "conversations" in asked else facts(asked)


def kinds(asked: Asked) -> dict[str, Any]:
    return {"conversations": [{"n": one["n"], **kind(one)} for one in asked["conversations"]]}


def kind(conversation: dict[str, Any]) -> dict[str, Any]:
    said = " ".join(message["text"] for message in conversation["messages"])
    name = next((name for name, sign in _SIGNS if sign in said), "NONE")
    return {"memory_type": name, "should_extract": name != "NONE", "reason": "a sign"}


def facts(asked: Asked) -> dict[str, Any]:
    said = [line for line in asked["talk"] if line["who"] == "user"]
    return {"memory": [{"text": line["text"], "from": [line["n"]]} for line in said]}


@dataclass
class World:
    engine: MemoryEngine
    longterm: LongTerm
    model: ScriptedModel
    dify: DifyStandIn
    pool: Pool
    ceiling: Ceiling
    _minute: int = field(default=0)

    def says(self, user: str, *texts: str, answer: str = "I see.", **more: Any) -> str:
        """A new conversation of the day, or what goes on in one; its id."""
        id: str = more.pop("conversation_id", "")
        for text in texts:
            self._minute += 1
            at = (DAY + timedelta(hours=9, minutes=self._minute)).timestamp()
            id, _ = self.dify.add(user, text, answer, at=at, conversation_id=id, **more)
        return id

    def request(self, *users: str, **more: Any) -> ExtractionRequest:
        wanted: dict[str, Any] = {"app_id": APP, "window": WINDOW, "dify": dify_options(self.dify)}
        return ExtractionRequest(users or ("ann",), **(wanted | more))

    async def extract(self, *users: str, **more: Any) -> dict[str, Any]:
        return await self.longterm.run(self.request(*users, **more))

    async def memories(self, user: str = "ann") -> list[StoredMemory]:
        return await self.engine.get_all(user_id=user)

    async def texts(self, user: str = "ann") -> list[str]:
        return sorted(memory.text for memory in await self.memories(user))

    async def read(self, user: str = "ann") -> set[str]:
        """The conversations that count as read."""
        found = await self.longterm.checkpoint(user, APP)
        return set(found["checkpoint"]["conversations"]) if found["status"] == "SUCCESS" else set()

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            return await (await connection.execute(query.encode())).fetchall()

    async def done(self, task_id: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while (status := await self.longterm.status(task_id))["task_status"] == "running":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return status


def dify_options(dify: DifyStandIn) -> DifyOptions:
    return DifyOptions(dify.base_url, KEY, retries=1, first_pause_s=0.01)


def asked_for(asked: Sequence[Asked], what: str) -> int:
    """How many calls were for the kinds of `conversations`, or for the facts of a `talk`."""
    return sum(what in one for one in asked)


@asynccontextmanager
async def world(
    pool: Pool, folder: Path, script: Callable[[Asked], Any] = answers, ceiling: Ceiling | None = None, **more: Any
) -> AsyncIterator[World]:
    with ThreadPoolExecutor(2) as executor:
        async with ScriptedModel(script) as model, DifyStandIn() as dify:
            bridge = Mem0Bridge(folder, threads=4)
            part = part_of("llm", model.part())
            assert part is not None
            llm = await bridge.run(lambda: open_llm(part, timeout_s=10.0), timeout_s=60)
            extractor = Mem0Extractor(
                bridge, llm, WordEmbedder(), PostgresBeside(pool, timeout_s=10.0), OPTIONS, NoObserver()
            )

            def make(verbatim: VerbatimSaver) -> ExtractingSaver:
                return ExtractingSaver(extractor, verbatim, OPTIONS)

            engine = MemoryEngine(pool, WordEmbedder(), executor, make_saver=make)
            await engine.start()
            ceiling = ceiling or Ceiling()
            asks = Mem0Model(bridge, llm, OPTIONS.timeout_s, NoObserver())
            longterm = on_postgres(engine, pool, asks, ceiling=ceiling, **more)
            try:
                yield World(engine, longterm, model, dify, pool, ceiling)
            finally:
                await longterm.stop(5.0)
                await engine.stop(1.0)
                await bridge.quiet(timeout_s=5.0)
                await bridge.run(llm.client.close, timeout_s=5.0)

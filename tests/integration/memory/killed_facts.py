"""A process that learns a fact which replaces another one, and is killed at the step that its arguments name."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_saver import die, die_after, die_before_telling
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractingSaver, ExtractionOptions
from xiaozhi_server.core.providers.memory.mem0ai.facts import write, write_things
from xiaozhi_server.core.providers.memory.mem0ai.facts.answer import Answer, NamedThing, Pointer, Told
from xiaozhi_server.core.providers.memory.mem0ai.facts.check import check
from xiaozhi_server.core.providers.memory.mem0ai.facts.learn import Learner, Part
from xiaozhi_server.core.providers.memory.mem0ai.facts.learned import Learned
from xiaozhi_server.core.providers.memory.mem0ai.facts.request import Line, Request
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.saving import outbox
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.outbox import Batch
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy, EmbedAll, Search
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder
from xiaozhi_server.core.providers.memory.mem0ai.wishes import Wishes

OLD, NEW = "I live in Munich.", "I moved to Berlin, to my sister Anna."
OPTIONS = ExtractionOptions(policy=BatchPolicy(idle_s=0.0))
STEPS: dict[str, Callable[[], None]] = {
    "claimed": lambda: die_after(outbox, "claim"),
    "settled": lambda: die_after(outbox, "settle"),
    "inserted": lambda: die_after(pgstore, "insert"),
    "superseded": lambda: die_after(write, "supersede"),
    "linked": lambda: die_after(write_things, "write"),
    "saved": die_before_telling,
    "all done": lambda: None,
}


class SentenceExtractor:
    """Takes each message for a fact that replaces all that is known; Anna is the speaker's sister."""

    def __init__(self) -> None:
        self._search: Search | None = None

    def search_by(self, search: Search, embed: EmbedAll | None = None) -> None:
        self._search = search

    async def extract(self, batch: Batch) -> Learned:
        assert self._search is not None
        learner = Learner(batch, multilingual=True)
        (message,) = learner.messages
        found = await self._search(message.content, Scope(batch[0].user_id, batch[0].agent_id), top_k=10)
        known = tuple(one.memory for one in found if one.memory.text != message.content)
        request = Request((Line(0, message),), known, (), Wishes())
        fact = Told(
            message.content, replaces=tuple(Pointer(number) for number in range(1, len(known) + 1)), about=("Anna",)
        )
        answer = Answer((fact,), (NamedThing("Anna", "person"),), (("Anna", "sister", "I"),))
        (vector,) = await WordEmbedder().embed([message.content])
        learner.take(Part(request, answer, check(answer, request), {fact.text: vector}, {}))
        return learner.learned()


def engine_on(pool: Any, executor: ThreadPoolExecutor) -> MemoryEngine:
    def make(verbatim: VerbatimSaver) -> ExtractingSaver:
        return ExtractingSaver(SentenceExtractor(), verbatim, OPTIONS)

    options = EngineOptions(drain=DrainOptions(lease_s=-60 - OPTIONS.timeout_s * 4))  # whoever died is not waited for
    return MemoryEngine(pool, WordEmbedder(), executor, options, make_saver=make)


async def tell(engine: MemoryEngine, text: str, hour: int) -> None:
    message = SpokenMessage("user", text, datetime(2026, 11, 20, hour, tzinfo=UTC))
    await engine.enqueue([message], user_id="ann", agent_id="bot", session_id="s1", key=text)


async def all_saved(engine: MemoryEngine) -> None:
    while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
        await asyncio.sleep(0.01)


async def main(dsn: str, step: str) -> None:
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        engine = engine_on(pool, ThreadPoolExecutor(1))
        await engine.start()
        await tell(engine, OLD, 10)
        await all_saved(engine)
        STEPS[step]()
        await tell(engine, NEW, 12)
        await all_saved(engine)
        die()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

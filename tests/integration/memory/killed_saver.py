"""A process that saves two exchanges and is killed at the step that its arguments name. Started by test_memory_kill.py.

`single`: each is saved by itself, at once. `batch`: both together, when their session has ended.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.gathering_saver import GatheringSaver
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.saving import outbox
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

FACTS = {"turn-1": "My favourite colour is teal.", "turn-2": "My favourite drink is cocoa."}
POLICY = BatchPolicy(idle_s=3600.0, timeout_s=0.5)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingEmbedder(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        if set(texts) & set(FACTS.values()):
            die()
        return await super().embed(texts)


class FailingEmbedder(WordEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise RuntimeError("the embedder is ill")


def die_after(owner: Any, name: str) -> None:
    """As soon as this call has had an effect."""
    original = getattr(owner, name)

    async def call_and_die(*arguments: Any, **named: Any) -> Any:
        result = await original(*arguments, **named)
        if result is None or result:  # an empty claim is no step
            die()
        return result

    setattr(owner, name, call_and_die)


def die_before_telling() -> None:
    def written(*_: Any) -> None:
        die()

    VerbatimSaver.written = written  # type: ignore[method-assign, assignment]


STEPS: dict[str, Callable[[], None]] = {
    "claimed": lambda: die_after(outbox, "claim"),
    "prepared": lambda: die_after(VerbatimSaver, "prepare"),
    "settled": lambda: die_after(outbox, "settle"),
    "inserted": lambda: die_after(pgstore, "insert"),
    "saved": die_before_telling,
    "postponed": lambda: die_after(outbox, "postpone"),
    "ended": lambda: die_after(outbox, "end"),
}
EMBEDDERS = {"embedding": DyingEmbedder, "postponed": FailingEmbedder}


async def tell(engine: MemoryEngine, pool: AsyncConnectionPool[Any], key: str, step: str) -> None:
    """As the server does it: in a transaction of the caller's own."""
    async with pool.connection() as connection:
        message = SpokenMessage("user", FACTS[key], datetime(2026, 11, 20, tzinfo=UTC))
        await engine.enqueue([message], user_id="ann", agent_id="bot", session_id="s1", key=key, transaction=connection)
        if step == f"put {key}":
            die()
    if step == f"committed {key}":
        die()


async def main(dsn: str, kind: str, step: str) -> None:
    make_saver = (lambda verbatim: GatheringSaver(verbatim, POLICY)) if kind == "batch" else None
    options = EngineOptions(drain=DrainOptions(lease_s=0.5))
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        embedder = EMBEDDERS.get(step, WordEmbedder)()
        engine = MemoryEngine(pool, embedder, ThreadPoolExecutor(1), options, make_saver=make_saver)
        await engine.start()
        STEPS.get(step, lambda: None)()
        for key in FACTS:
            await tell(engine, pool, key, step)
        await engine.end_session("s1", user_id="ann")
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)
        die()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""The self-hosted memory with mem0 in it, between a real database and the stand-in cloud."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from firmware_sim.cloud import StandInCloud
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractionOptions
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_stores import OtherStoreEngine
from xiaozhi_server.core.providers.memory.mem0ai.observe import MemoryObserver, NoObserver
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.self_hosted import (
    SelfHosted,
    SelfHostedOptions,
    Surroundings,
    open_self_hosted,
)

Pool = AsyncConnectionPool[AsyncConnection[Any]]
Engine = MemoryEngine | OtherStoreEngine
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MODEL = "stand-in"
# Batches are closed at once, and failures are tried again at once.
QUICK = SelfHostedOptions(
    engine=EngineOptions(drain=DrainOptions(first_retry_s=0.02, longest_retry_s=0.05, idle_pause_s=0.1)),
    extraction=ExtractionOptions(timeout_s=10.0, attempts=3, policy=BatchPolicy(idle_s=0.0)),
)


def said(text: str, *, role: Any = "user", speaker: str | None = None, minutes_ago: float = 1.0) -> SpokenMessage:
    return SpokenMessage(role, text, NOW - timedelta(minutes=minutes_ago), speaker)


def llm(cloud: StandInCloud, **more: Any) -> dict[str, Any]:
    return {
        "provider": "openai",
        "config": {"api_key": "a key", "openai_base_url": cloud.base_url, "model": MODEL, **more},
    }


def embedder(cloud: StandInCloud) -> dict[str, Any]:
    return {"provider": "openai", "config": {**llm(cloud)["config"], "embedding_dims": 384}}


@asynccontextmanager
async def self_hosted(
    config: Mapping[str, Any],
    pool: Pool,
    folder: Path,
    options: SelfHostedOptions = QUICK,
    observer: MemoryObserver | None = None,
) -> AsyncIterator[Engine]:
    async with opened_self_hosted(config, pool, folder, options, observer) as opened:
        await opened.engine.start()
        try:
            yield opened.engine
        finally:
            await opened.engine.stop(1.0)


@asynccontextmanager
async def opened_self_hosted(
    config: Mapping[str, Any],
    pool: Pool,
    folder: Path,
    options: SelfHostedOptions = QUICK,
    observer: MemoryObserver | None = None,
) -> AsyncIterator[SelfHosted]:
    with ThreadPoolExecutor(2) as executor:
        around = Surroundings(
            pool=pool,
            executor=executor,
            embedding_executor=executor,
            folder=folder,
            cache_dir=folder,
            observer=observer or NoObserver(),
        )
        opened = await open_self_hosted(config, around, options)
        try:
            yield opened
        finally:
            await opened.close()


async def saved(engine: Engine, timeout_s: float = 15.0) -> None:
    await until(lambda: _nothing_waits(engine), timeout_s)


async def until(condition: Callable[[], Any], timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)


async def _nothing_waits(engine: Engine) -> bool:
    return not (await engine.depth()).waiting

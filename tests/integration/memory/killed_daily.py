"""A process that does the daily work and is killed in the midst of a step. Started by test_daily.py.

`forget`: after the first page of memories is gone. `second`: in a step of its own, after another one is done.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import MemoryRules
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.daily.maintenance import MaintenanceOptions, Work
from xiaozhi_server.core.providers.memory.mem0ai.daily.night import Nights
from xiaozhi_server.core.providers.memory.mem0ai.forgetting import prune
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OPTIONS = EngineOptions(maintenance=MaintenanceOptions(nights=Nights(settle=timedelta(0))), clock=lambda: NOON)


@dataclass
class Counting:
    name: str
    runs: int = 0

    async def run(self, work: Work) -> Mapping[str, int]:
        self.runs += 1
        return {"runs": self.runs}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Dying:
    name = "second"

    async def run(self, work: Work) -> Mapping[str, int]:
        die()
        return {}


async def rules() -> Mapping[str, MemoryRules]:
    return {"bot": MemoryRules(forget=True)}


async def main(dsn: str, step: str) -> None:
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        engine = MemoryEngine(pool, WordEmbedder(), ThreadPoolExecutor(1), OPTIONS, rules=rules)
        if step == "forget":
            prune._PAGE = 5
            engine.maintenance._pause = pause_for_ever  # type: ignore[method-assign]
        else:
            engine.maintenance.add(Counting("first"))
            engine.maintenance.add(Dying())
        await engine.start()
        await engine.maintenance.run_if_due()


async def pause_for_ever() -> None:
    die()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

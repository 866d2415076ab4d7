"""A process that hands one fact to the platform and is killed at the step that its last argument names."""

import asyncio
import os
import signal
import sys
from dataclasses import replace
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.platform_world import QUICK, TEAL, said
from xiaozhi_server.core.providers.memory.mem0ai.platform import PlatformApi, PlatformEngine, PlatformOptions, sends
from xiaozhi_server.core.providers.memory.mem0ai.platform.saver import PlatformSaver
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after(owner: Any, name: str) -> None:
    original = getattr(owner, name)

    async def call_and_die(*arguments: Any, **options: Any) -> Any:
        await original(*arguments, **options)
        die()

    setattr(owner, name, call_and_die)


def die_before(owner: Any, name: str) -> None:
    async def just_die(*_: Any, **__: Any) -> None:
        die()

    setattr(owner, name, just_die)


def prepare(step: str) -> None:
    match step:
        case "committed":
            die_before(PlatformSaver, "prepare")
        case "noted":
            die_before(PlatformApi, "add")
        case "taken":
            die_after(PlatformApi, "add")
        case "known":
            die_after(PlatformApi, "event")
        case "settling":
            die_after(sends, "settle")


async def main(dsn: str, host: str, key: str, step: str) -> None:
    prepare(step)
    options = PlatformOptions(
        api_key=key,
        host=host,
        policy=BatchPolicy(idle_s=0.0, exchanges=1, timeout_s=2.0),
        drain=replace(QUICK.drain, lease_s=0.5),
    )
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        engine = PlatformEngine(pool, options)
        await engine.start()
        await engine.enqueue([said(TEAL)], user_id="ann", agent_id="bot", key="turn-1")
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)
        die()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

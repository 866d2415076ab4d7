"""A process that has a model make facts of two exchanges, and is killed meanwhile. Started by test_memory_kill.py.

`asking`: it waits for the model until somebody kills it. `answered`: it dies with the model's answer in its hands.
`written`: with the facts in an open transaction.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_saver import FACTS
from tests.integration.memory.mem0_world import MODEL, QUICK, said, self_hosted
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.extract_by_mem0 import ExtractingSaver


def parts(base_url: str) -> dict[str, Any]:
    config = {"api_key": "a key", "openai_base_url": base_url, "model": MODEL}
    return {"llm": {"provider": "openai", "config": config}}


def die_after(name: str) -> None:
    original = getattr(ExtractingSaver, name)

    async def call_and_die(*arguments: Any, **named: Any) -> Any:
        await original(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(ExtractingSaver, name, call_and_die)


async def main(dsn: str, base_url: str, folder: str, step: str) -> None:
    if step != "asking":
        die_after({"answered": "prepare", "written": "write"}[step])
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool, self_hosted(parts(base_url), pool, Path(folder), QUICK) as engine:
        async with pool.connection() as connection:  # both at once: the model is asked as soon as one is there
            for key, fact in FACTS.items():
                await engine.enqueue(
                    [said(fact)], user_id="ann", agent_id="bot", session_id="s1", key=key, transaction=connection
                )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

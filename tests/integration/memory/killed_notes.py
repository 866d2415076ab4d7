"""A process that notes two exchanges together, and is killed at the step that its arguments name.

Started by test_mem_local_short.py.
"""

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.killed_saver import die, die_after
from tests.integration.memory.notes_world import LlmModel, model_at
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.saving import outbox
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem_local_short import SummaryEngine, SummaryOptions, engine

SAID_AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
FACTS = {"turn-1": "Anna plays the trumpet.", "turn-2": "Bo has a cat."}


def die_when_saved() -> None:
    def written(*_: Any) -> None:
        die()

    engine._NotesSaver.written = written  # type: ignore[method-assign, assignment]


STEPS: dict[str, Callable[[], None]] = {
    "answered": lambda: die_after(LlmModel, "complete"),
    "prepared": lambda: die_after(engine._NotesSaver, "prepare"),
    "settled": lambda: die_after(outbox, "settle"),
    "written": lambda: die_after(engine._NotesSaver, "write"),
    "saved": die_when_saved,
}


async def tell(notes: SummaryEngine, key: str, transaction: Any = None) -> bool:
    message = SpokenMessage("user", FACTS[key], SAID_AT)
    return await notes.enqueue([message], user_id="home", agent_id="a", key=key, transaction=transaction)


async def main(dsn: str, base_url: str, step: str) -> None:
    STEPS[step]()
    options = SummaryOptions(policy=BatchPolicy(idle_s=3600.0, exchanges=2))
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool, model_at(base_url) as model:
        notes = SummaryEngine(pool, model, options)
        await notes.start()
        async with pool.connection() as connection:
            for key in FACTS:
                await tell(notes, key, connection)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

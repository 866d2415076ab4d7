"""A process that accepts writes, does them, and is killed at the step that its arguments name.

`postgres` and `file`: where they are written down. `facts`: a stand-in for a model makes facts of them.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.accepted_world import journal_of, saying
from tests.integration.memory.killed_facts import engine_on
from tests.integration.memory.killed_saver import die
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.accepting import table
from xiaozhi_server.core.providers.memory.mem0ai.accepting.doing import EngineDoer
from xiaozhi_server.core.providers.memory.mem0ai.accepting.file_table import JournalFile
from xiaozhi_server.core.providers.memory.mem0ai.accepting.worker import Worker, WorkOptions
from xiaozhi_server.core.providers.memory.mem0ai.facts import write
from xiaozhi_server.core.providers.memory.mem0ai.message import memory_id
from xiaozhi_server.core.providers.memory.mem0ai.rows import edit, pgstore
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

OPTIONS = WorkOptions(lease_s=0.5, idle_pause_s=0.02)
TEAL, PLUM, COCOA, RICE = (
    "My favourite colour is teal.",
    "My favourite colour is plum.",
    "My favourite drink is cocoa.",
    "My favourite food is rice.",
)
MUNICH, BERLIN = "I live in Munich.", "I moved to Berlin, to my sister Anna."


def die_at(owner: Any, name: str, number: int) -> None:
    """As soon as this call has had an effect for the `number`th time."""
    original, left = getattr(owner, name), number

    def count(result: Any) -> Any:
        nonlocal left
        left -= result is None or bool(result)
        if left == 0:
            die()
        return result

    async def waited(*arguments: Any, **named: Any) -> Any:
        return count(await original(*arguments, **named))

    def called(*arguments: Any, **named: Any) -> Any:
        return count(original(*arguments, **named))

    setattr(owner, name, waited if asyncio.iscoroutinefunction(original) else called)


STEPS: dict[str, Callable[[str, int], None]] = {
    "accepted": lambda kind, number: die_at(JournalFile if kind == "file" else table, "put", number),
    "claimed": lambda kind, number: die_at(JournalFile if kind == "file" else table, "claim", number),
    "settling": lambda kind, number: die_at(table, "settle", number),
    "inserted": lambda kind, number: die_at(pgstore, "insert", number),
    "superseded": lambda kind, number: die_at(write, "supersede", number),
    "updated": lambda kind, number: die_at(edit.Editor, "_write", number),
    "deleted": lambda kind, number: die_at(edit, "_delete", number),
    "done": lambda kind, number: die_at(EngineDoer, "perform", number),
    "settled": lambda kind, number: die_at(JournalFile, "settle", number),
}


def engine_of(kind: str, pool: AsyncConnectionPool[Any], executor: ThreadPoolExecutor) -> MemoryEngine:
    return engine_on(pool, executor) if kind == "facts" else MemoryEngine(pool, WordEmbedder(), executor)


async def accept_all(kind: str, worker: Worker) -> None:
    """One after the other: each is promised before the next one is handed in."""
    if kind == "facts":
        for text in (MUNICH, BERLIN):
            await worker.accept("add", "ann", saying(text, agent_id="bot", infer=True))
        return
    colour = await worker.accept("add", "ann", saying(TEAL))
    drink = await worker.accept("add", "ann", saying(COCOA))
    await worker.accept("update", "ann", {"id": str(memory_id("ann", colour.id.hex, 0)), "text": PLUM})
    await worker.accept("delete", "ann", {"id": str(memory_id("ann", drink.id.hex, 0))})
    await worker.accept("add", "ann", saying(RICE))


async def main(dsn: str, folder: str, kind: str, step: str, number: str) -> None:
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, open=False)
    async with pool:
        engine = engine_of(kind, pool, ThreadPoolExecutor(1))
        await engine.start()
        journal = journal_of("file" if kind == "file" else "postgres", pool, Path(folder))
        worker = Worker(journal, EngineDoer(engine), OPTIONS)
        STEPS[step](kind, int(number))
        await accept_all(kind, worker)
        worker.start()
        while await journal.waiting():  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)
        raise SystemExit("the step was never taken")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

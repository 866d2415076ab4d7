"""A process that adds under a key to a memory without PostgreSQL, and is killed at the step that its arguments name."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.memory.killed_saver import die, die_after
from tests.integration.memory.mem0_world import said
from tests.integration.memory.plain_world import plain
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0 import notes_table
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import OtherStore

KEY = "write-1"
TEXTS = ("I like plums.", "I like tea.")


def die_when_noting() -> None:
    def put(*_: object) -> None:
        die()

    notes_table.NotesFile.put = put  # type: ignore[method-assign, assignment]


def die_at_second(owner: Any, name: str) -> None:
    """With one of the two files done."""
    original, calls = getattr(owner, name), []

    def call(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == 2:
            die()
        return original(*arguments)

    setattr(owner, name, call)


STEPS: dict[str, Callable[[], None]] = {
    "inserted": lambda: die_after(OtherStore, "insert"),
    "noting": die_when_noting,
    "all done": lambda: None,
    "replace": lambda: die_at_second(Path, "replace"),
    "fsync": lambda: die_at_second(os, "fsync"),
}


async def main(folder: Path, step: str, kind: str = "qdrant") -> None:
    async with plain(kind, folder) as engine:
        STEPS[step]()
        await engine.add([said(text) for text in TEXTS], user_id="ann", agent_id="bot", key=KEY)
        die()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))

"""Journals of both kinds, and somebody who does what was accepted."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.mem0ai.accepting.accepted import Accepted, Within
from xiaozhi_server.core.providers.memory.mem0ai.accepting.file import FileJournal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.journal import Journal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.postgres import PostgresJournal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.worker import Worker, WorkOptions

QUICK = WorkOptions(lease_s=0.5, idle_pause_s=0.02, first_retry_s=0.02, longest_retry_s=0.05, attempts_max=3)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def saying(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def journal_of(kind: str, pool: AsyncConnectionPool[Any], folder: Path, **options: Any) -> Journal:
    if kind == "postgres":
        return PostgresJournal(pool, **options)
    return FileJournal(folder / "journal.sqlite", **options)


class Recorder:
    """Notes what it is given, in order. `fails` says what it raises, if anything."""

    def __init__(self, fails: Callable[[Accepted], BaseException | None] = lambda _: None) -> None:
        self.begun: list[Accepted] = []
        self.done: list[Accepted] = []
        self.fails = fails
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def perform(self, accepted: Accepted, settle: Within | None) -> None:
        self.begun.append(accepted)
        await self.go_on.wait()
        if (error := self.fails(accepted)) is not None:
            raise error
        self.done.append(accepted)

    def said(self) -> list[str]:
        return [text_of(one) for one in self.done]


def text_of(accepted: Accepted) -> str:
    text = accepted.arguments["messages"][0]["content"]
    assert isinstance(text, str)
    return text


def worker_of(journal: Journal, doer: Any, options: WorkOptions = QUICK) -> Worker:
    worker = Worker(journal, doer, options)
    worker.start()
    return worker


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def modes_in(folder: Path) -> set[str]:
    return {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}

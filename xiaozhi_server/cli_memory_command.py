"""What all memory commands share: one call with its engine, and how they ask, show progress and print."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from .cli_output import shown, table
from .core.providers.memory.mem0ai.engine import MemoryEngine
from .core.providers.memory.mem0ai.records import FoundMemory, StoredMemory
from .memory_plan import MemoryPlan

OWNERS_SHOWN = 20
_LONGEST_LINE = 100


class CommandError(Exception):
    """The command cannot be done; the text says why, for the person at the terminal."""


class Keeper(Protocol):
    """Who keeps memories, as far as looking them up and deleting them goes: our own database, or Mem0's platform."""

    async def owners(self, *, limit: int) -> list[str]: ...

    async def get(self, id: str | UUID, *, user_id: str) -> StoredMemory | None: ...

    async def get_all(self, *, user_id: str, agent_id: str | None = None, top_k: int = 100) -> list[StoredMemory]: ...

    async def search(
        self, query: str, *, user_id: str, agent_id: str | None = None, top_k: int = 20
    ) -> list[FoundMemory]: ...

    async def delete(self, id: str | UUID, *, user_id: str) -> None: ...

    async def delete_all(self, *, user_id: str, agent_id: str | None = None) -> int: ...


@dataclass(frozen=True, slots=True)
class KeptCommand:
    """One call: what was asked, and who keeps what it is about."""

    engine: Keeper
    chosen: argparse.Namespace

    async def owner(self) -> str:
        """Whose memories: the named one's, or the only one's that there is."""
        if self.chosen.user:
            return str(self.chosen.user)
        owners = await self.engine.owners(limit=OWNERS_SHOWN + 1)
        if not owners:
            raise CommandError("nobody has any memories yet: say --user for whose they shall be")
        if len(owners) > 1:
            more = " and more" if len(owners) > OWNERS_SHOWN else ""
            names = ", ".join(map(shown, owners[:OWNERS_SHOWN]))
            raise CommandError(f"there are several owners, so say which with --user: {names}{more}")
        return owners[0]


@dataclass(frozen=True, slots=True)
class Command(KeptCommand):
    """One that only our own database can do.

    `plan` is where the settings keep memories, `spool` the folder with exchanges that wait for the database.
    """

    engine: MemoryEngine
    pool: AsyncConnectionPool[AsyncConnection[Any]]
    plan: MemoryPlan
    spool: Path


def confirm(command: KeptCommand, question: str) -> None:
    if command.chosen.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nobody is there to be asked: add --yes")
    print(question, "[y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")


def progress(total: int) -> Callable[[int], None]:
    """Tells on stderr how many are done."""
    line_end = "\r" if sys.stderr.isatty() else "\n"

    def tell(done: int) -> None:
        print(f"{done} of {total}", end=line_end, file=sys.stderr, flush=True)

    return tell


def line(text: str) -> str:
    line = " ".join(text.split())
    return shown(line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…")


def local(moment: datetime) -> str:
    try:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M")
    except OverflowError:
        return "-"


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in table([heading, *rows]))


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)

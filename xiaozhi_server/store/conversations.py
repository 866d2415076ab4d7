"""Writes down what was said, with the memory's outbox in the same transaction, and on disk while there is no database.

An exchange goes straight to PostgreSQL. If that does not answer in time it goes to the spool, from where one background
task replays in order; until it is empty all new exchanges queue behind. Every write may happen twice: the ids of lines
and turns and the memory's key make the second one do nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from loguru import logger
from psycopg import AsyncConnection, Error, InterfaceError, OperationalError
from psycopg.types.json import Jsonb

from ..core.ports import Binding, Exchange, SpokenLine
from ..core.providers.memory.base import MemoryProvider, SpokenMessage
from .database import Database, DatabaseError
from .queries import query
from .spool import Spool, SpoolFullError
from .text import storable
from .whose import persons_in

MemoryFactory = Callable[[Binding], Awaitable[MemoryProvider | None]]
_T = TypeVar("_T")

# The database is away, not the exchange at fault. PoolTimeout is an OperationalError too.
_AWAY = (OperationalError, InterfaceError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """`answer_timeout_s`: after that an exchange goes to disk; `write_timeout_s`: after that a write is cut off.

    `frame_timeout_s`: after that a session goes without its frame. People wait for that, exchanges do not need it.
    """

    answer_timeout_s: float = 1.0
    frame_timeout_s: float = 0.25
    write_timeout_s: float = 10.0
    spool_limit: int = 20_000
    first_pause_s: float = 0.2
    longest_pause_s: float = 5.0
    attempts: int = 5


class ConversationStore:
    """A ConversationLog."""

    def __init__(
        self,
        database: Database,
        spool_dir: Path,
        memory_for: MemoryFactory,
        *,
        executor: Executor | None = None,
        options: ConversationOptions | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._memory_for = memory_for
        self._executor = executor
        self._options = options or ConversationOptions()
        self._on_lost = on_lost
        self._spool = Spool(spool_dir, self._options.spool_limit)
        self._spooled = 0  # on disk, and on the way there
        self._on_the_way = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._owners: dict[str, str] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._drain: asyncio.Task[None] | None = None

    async def start(self) -> None:
        try:
            self._spooled = await self._on_disk(self._spool.open)
        except OSError as error:
            remedy = "start as its owner, or choose another --data-dir"
            raise DatabaseError(f"{error.filename}: {error.strerror}: {remedy}") from error
        if self._spooled:
            logger.info("{} exchanges wait on disk for the database", self._spooled)
        self._wake.set()
        self._drain = asyncio.create_task(self._drain_forever(), name="conversation-spool")

    async def close(self, deadline_s: float = 5.0) -> None:
        """Let writes end and the spool run empty within the deadline; what is left stays on disk."""
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.gather(*self._writes, return_exceptions=True)
                if self._drain is not None:
                    await self._empty.wait()
        except TimeoutError:
            logger.warning("{} exchanges stay on disk until the next start", self._spooled)
        pending = [task for task in (self._drain, *self._writes) if task is not None]
        self._drain = None
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """How many exchanges wait on disk."""
        return self._spooled

    # ConversationLog

    async def open_session(self, session_id: str, binding: Binding, opened_at: datetime) -> None:
        if binding.agent.history == "off":
            return
        self._owners[session_id] = binding.owner_id
        who = _identity(session_id, binding)
        await self._try_to("note a new session", "open_session", who | {"opened_at": opened_at})

    async def close_session(self, session_id: str, closed_at: datetime, reason: str) -> None:
        owner_id = self._owners.pop(session_id, None)
        if owner_id is None:
            return
        parameters: dict[str, Any] = {"owner_id": owner_id, "session_id": session_id}
        parameters |= {"closed_at": closed_at, "reason": storable(reason, 64)}
        await self._try_to("note the end of a session", "close_session", parameters)

    async def record(self, exchange: Exchange, memory: MemoryProvider | None) -> None:
        agent = exchange.binding.agent
        if agent.history == "off" and not (agent.memory_enabled and memory is not None):
            return
        if self._spooled or not await self._written_in_time(exchange, memory):
            await self._put_on_disk(exchange)

    async def latest_lines(self, binding: Binding, limit: int) -> Sequence[SpokenLine]:
        if binding.agent.history == "off" or limit <= 0:
            return ()
        parameters = {"owner_id": binding.owner_id, "agent_id": binding.agent.id, "limit": limit}
        try:
            async with self._database.transaction(self._options.answer_timeout_s) as connection:
                cursor = await connection.execute(query("latest_lines"), parameters)
                rows = await cursor.fetchall()
        except (Error, *_AWAY) as error:
            logger.warning("the last conversation cannot be read: {}", type(error).__name__)
            return ()
        return [SpokenLine(*row) for row in reversed(rows)]

    # straight to the database

    async def _try_to(self, what: str, statement: str, parameters: dict[str, Any]) -> None:
        """A session's frame is no promise: an exchange makes the row itself if it is missing."""
        try:
            async with self._database.transaction(self._options.frame_timeout_s) as connection:
                await connection.execute(query(statement), parameters)
        except (Error, *_AWAY) as error:
            logger.warning("could not {}: {}", what, type(error).__name__)

    async def _written_in_time(self, exchange: Exchange, memory: MemoryProvider | None) -> bool:
        """A write that is late is not cancelled: it may still commit, and twice does no harm."""
        task = asyncio.create_task(self._write(exchange, memory))
        self._writes.add(task)
        task.add_done_callback(self._forget_write)
        done, _ = await asyncio.wait({task}, timeout=self._options.answer_timeout_s)
        return bool(done) and not task.cancelled() and task.exception() is None

    def _forget_write(self, task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("an exchange was not written: {}", type(error).__name__)

    async def _write(self, exchange: Exchange, memory: MemoryProvider | None) -> None:
        async with self._database.transaction(self._options.write_timeout_s) as connection:
            if exchange.binding.agent.history != "off":
                persons = persons_in(exchange)
                owners = [exchange.binding.owner_id, *filter(None, persons)]
                await connection.execute(query("hold_owner"), {"owner_ids": owners})
                await connection.execute(query("record_exchange"), _row(exchange, persons))
            if memory is not None and exchange.binding.agent.memory_enabled and exchange.lines:
                await _remember(exchange, memory, connection)

    # over the disk

    async def _put_on_disk(self, exchange: Exchange) -> None:
        self._spooled += 1
        self._on_the_way += 1
        self._empty.clear()
        try:
            await self._on_disk(self._spool.put, exchange)
        except (SpoolFullError, OSError):
            self._spooled = max(0, self._spooled - 1)
            self._on_lost()  # the database did not take it in time, and now there is no room on disk either
            raise
        finally:
            self._on_the_way -= 1
            self._wake.set()

    async def _on_disk(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    async def _drain_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._drain_once()
            except Exception as error:  # noqa: BLE001 a job's boundary: the drain must outlive any fault
                logger.warning("the spool cannot be emptied now: {}", type(error).__name__)
                await asyncio.sleep(self._options.longest_pause_s)
                self._wake.set()

    async def _drain_once(self) -> None:
        while entries := await self._on_disk(self._spool.waiting):
            for entry in entries:
                await self._replay(entry)
                self._spooled = max(0, self._spooled - 1)
        # Another server on this folder may have written some of ours, or we some of theirs.
        self._spooled = self._on_the_way
        if not self._spooled:
            self._empty.set()

    async def _replay(self, entry: Path) -> None:
        exchange = await self._on_disk(self._spool.read, entry)
        if exchange is None:
            return
        if await self._write_patiently(exchange):
            await self._on_disk(self._spool.remove, entry)
        else:
            logger.error("an exchange cannot be written and was put aside: {}", entry.with_suffix(".rejected"))
            await self._on_disk(self._spool.put_aside, entry)

    async def _write_patiently(self, exchange: Exchange) -> bool:
        """Wait as long as the database is away; give up on an exchange that it refuses again and again."""
        pause_s, refusals = self._options.first_pause_s, 0
        while refusals < self._options.attempts:
            try:
                await self._write_again(exchange)
            except _AWAY as error:
                logger.debug("the database is still away: {}", type(error).__name__)
            except Exception as error:  # noqa: BLE001 a job's boundary: one bad exchange must not hold up the rest
                refusals += 1
                logger.warning("an exchange was refused: {}", type(error).__name__)
            else:
                return True
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._options.longest_pause_s)
        return False

    async def _write_again(self, exchange: Exchange) -> None:
        wants_memory = exchange.binding.agent.memory_enabled
        memory = await self._memory_for(exchange.binding) if wants_memory else None
        try:
            await self._write(exchange, memory)
        finally:
            if memory is not None:
                await memory.close()


def _identity(session_id: str, binding: Binding) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "owner_id": binding.owner_id,
        "agent_id": binding.agent.id,
        "device_id": binding.device_id,
    }


def _row(exchange: Exchange, persons: Sequence[str | None]) -> dict[str, Any]:
    lines = exchange.lines
    return _identity(exchange.session_id, exchange.binding) | {
        "turn_id": exchange.turn_id,
        "opened_at": lines[0].spoken_at if lines else datetime.now(UTC),
        "ids": [line.id for line in lines],
        "roles": [line.role for line in lines],
        "contents": [storable(line.content) for line in lines],
        "times": [line.spoken_at for line in lines],
        "persons": list(persons),
        "outcome": storable(exchange.outcome, 32),
        "timings_ms": Jsonb(exchange.timings_ms),
        "errors": [storable(error, 200) for error in exchange.errors],
    }


async def _remember(exchange: Exchange, memory: MemoryProvider, connection: AsyncConnection[Any]) -> None:
    messages = [
        SpokenMessage(line.role, storable(line.content), line.spoken_at, line.speaker) for line in exchange.lines
    ]
    await memory.save_memory(messages, exchange.session_id, key=exchange.turn_id, transaction=connection)

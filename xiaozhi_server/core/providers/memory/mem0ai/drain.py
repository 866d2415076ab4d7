"""The worker that turns outbox entries into memories: one per process, woken by every save, patient with failures.

Several processes may drain the same table. An entry and its memories change hands in one transaction, so a crash at
any moment leaves either the one or the other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from . import outbox, pgstore
from .outbox import OutboxEntry
from .pgstore import NewMemory

logger = logging.getLogger(__name__)

_CANCEL_TIMEOUT_S = 2.0

Pool = AsyncConnectionPool[Any]
Prepare = Callable[[Sequence[OutboxEntry]], Awaitable[list[list[NewMemory]]]]


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """How entries are taken from the outbox. The lease must outlast the time that preparing and writing may take."""

    batch: int = 32
    prepare_timeout_s: float = 20.0
    database_timeout_s: float = 10.0
    lease_s: float = 60.0
    # A save may wake the worker before its transaction is committed: it looks again after these pauses.
    recheck_pauses_s: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
    idle_pause_s: float = 2.0  # finds what others left behind
    first_retry_s: float = 0.5
    longest_retry_s: float = 300.0
    attempts_max: int = 50  # about three and a half hours
    keep_keys_s: float = 7 * 86400.0
    purge_every_s: float = 3600.0


class Drain:
    """`prepare` makes memories from entries (one list each); it may be slow, and it may fail."""

    def __init__(self, pool: Pool, prepare: Prepare, embedder: int, options: DrainOptions) -> None:
        self._pool = pool
        self._prepare = prepare
        self._embedder = embedder
        self._options = options
        self._woken = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._purge_at = 0.0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="memory-drain")

    def wake(self) -> None:
        """Something was put in; its transaction may still be open."""
        self._woken.set()

    async def stop(self, deadline_s: float) -> None:
        """Finish what is due, as long as the deadline allows. The rest stays in the outbox."""
        if self._task is None:
            return
        self._stopping = True
        self.wake()
        await asyncio.wait({self._task}, timeout=deadline_s)
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=_CANCEL_TIMEOUT_S)  # a frozen database may hold it longer
        self._task = None

    async def _run(self) -> None:
        looks = 0
        while True:
            try:
                busy = await self._once()
            except Exception as error:  # noqa: BLE001 - the worker outlives every failure of the database
                logger.warning("memory: the outbox is out of reach (%s); trying again", type(error).__name__)
                await self._mend_pool()
                busy = False
            if self._stopping and not busy:
                return
            looks = 0 if busy else looks + 1
            if not busy and await self._rest(looks):
                looks = 0

    async def _once(self) -> bool:
        """Save one batch; False if there was none."""
        entries = await self._claim()
        if entries:
            await self._save(entries)
        else:
            await self._purge()
        return bool(entries)

    async def _rest(self, looks: int) -> bool:
        """Wait before the next look, longer each time; True if a save ended the wait."""
        pauses = self._options.recheck_pauses_s
        pause_s = pauses[looks - 1] if looks <= len(pauses) else self._options.idle_pause_s
        try:
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    async def _claim(self) -> list[OutboxEntry]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            return await outbox.claim(connection, limit=self._options.batch, lease_s=self._options.lease_s)

    async def _save(self, entries: Sequence[OutboxEntry]) -> None:
        try:
            async with asyncio.timeout(self._options.prepare_timeout_s):
                memories = await self._prepare(entries)
            await self._write(entries, memories)
        except Exception as error:  # noqa: BLE001 - one job: whatever its embedder or its row does stays here
            if len(entries) > 1 and not isinstance(error, TimeoutError):
                # One of them may be to blame: the others shall not wait for it.
                for entry in entries:
                    await self._save([entry])
                return
            for entry in entries:
                await self._postpone(entry, error)

    async def _write(self, entries: Sequence[OutboxEntry], memories: Sequence[Sequence[NewMemory]]) -> None:
        async with (
            asyncio.timeout(self._options.database_timeout_s),
            self._pool.connection() as connection,
            connection.transaction(),
        ):
            ours = [new for entry, new in zip(entries, memories, strict=True) if await outbox.settle(connection, entry)]
            rows = [memory for new in ours for memory in new]
            await pgstore.insert(connection, rows, self._embedder)
        logger.debug("memory: saved %d texts of %d exchanges", len(rows), len(ours))

    async def _postpone(self, entry: OutboxEntry, error: Exception) -> None:
        options = self._options
        pause_s = min(options.first_retry_s * 2.0 ** min(entry.attempts - 1, 30), options.longest_retry_s)
        given_up = entry.attempts >= options.attempts_max
        logger.log(
            logging.ERROR if given_up else logging.WARNING,
            "memory: saving failed for the %d. time (%s); %s",
            entry.attempts,
            type(error).__name__,
            "given up, the entry stays in the outbox" if given_up else f"again in {pause_s:g} s",
        )
        async with asyncio.timeout(options.database_timeout_s), self._pool.connection() as connection:
            await outbox.postpone(
                connection, entry, pause_s=pause_s, attempts_max=options.attempts_max, error=type(error).__name__
            )

    async def _mend_pool(self) -> None:
        """After a restart of the database every waiting connection is dead: nobody else shall be given one."""
        with contextlib.suppress(OperationalError, PoolTimeout, TimeoutError):
            async with asyncio.timeout(self._options.database_timeout_s):
                await self._pool.check()

    async def _purge(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._purge_at:
            return
        self._purge_at = now + self._options.purge_every_s
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            await outbox.purge(connection, keep_s=self._options.keep_keys_s)

"""The worker that turns outbox entries into memories: one per process, woken by every save, patient with failures.

Several processes may drain the same table. A batch and its memories change hands in one transaction, so a crash at
any moment leaves either the one or the other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..observe import MemoryObserver, kind_of
from . import outbox
from .outbox import Batch, Size
from .saver import MayBeAway, Saver

logger = logging.getLogger(__name__)

_CANCEL_TIMEOUT_S = 2.0

Pool = AsyncConnectionPool[Any]


@dataclass(frozen=True, slots=True)
class DrainOptions:
    """How entries are taken from the outbox. The lease must outlast the time that preparing and writing may take.

    `owners` is how many owners' entries are saved in one go where they need not be gathered into batches.
    """

    owners: int = 32
    prepare_timeout_s: float = 20.0  # a policy has its own
    database_timeout_s: float = 10.0
    lease_s: float = 60.0  # with a policy: beyond its timeout
    # A save may wake the worker before its transaction is committed: it looks again after these pauses.
    recheck_pauses_s: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
    idle_pause_s: float = 2.0  # finds what others left behind, and batches that nobody adds to
    first_retry_s: float = 0.5
    longest_retry_s: float = 300.0
    attempts_together: int = 5  # then the entries of a batch are tried one by one
    attempts_max: int = 50  # about three and a half hours
    keep_keys_s: float = 7 * 86400.0
    purge_every_s: float = 3600.0
    report_every_s: float = 5.0


class Drain:
    """The saver's first step may be slow, and it may fail."""

    def __init__(self, pool: Pool, saver: Saver[Any], options: DrainOptions, observer: MemoryObserver) -> None:
        self._pool = pool
        self._saver = saver
        self._options = options
        self._observer = observer
        self._woken = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._purge_at = 0.0
        self._report_at = 0.0
        policy = saver.policy
        self._size = Size() if policy is None else Size(policy.exchanges, policy.chars, policy.idle_s)
        self._jobs_max = 1 if policy is None else policy.parallel
        self._prepare_timeout_s = options.prepare_timeout_s if policy is None else policy.timeout_s
        self._lease_s = options.lease_s if policy is None else policy.timeout_s + options.lease_s

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
        tasks = {self._task, *self._jobs}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT_S)  # a frozen database may hold them longer
        self._task = None

    async def _run(self) -> None:
        looks = 0
        while True:
            is_busy = await self._look()
            if len(self._jobs) >= self._jobs_max or (self._stopping and self._jobs):
                await asyncio.wait(self._jobs, return_when=asyncio.FIRST_COMPLETED)
                continue
            if self._stopping and not is_busy:
                return
            looks = 0 if is_busy else looks + 1
            if not is_busy and await self._rest(looks):
                looks = 0

    async def _look(self) -> bool:
        """Begin to save what is ready; False if there was nothing."""
        try:
            batches = await self._claim()
            if not batches or self._loop_time() >= self._report_at:
                await self._keep_house()
        except Exception as error:  # noqa: BLE001 - the worker outlives every failure of the database
            await self._out_of_reach(error)
            return False
        # Where nothing is gathered all owners share one call of the saver, else each batch has its own.
        for work in [batches] if self._saver.policy is None and batches else [[batch] for batch in batches]:
            job = asyncio.create_task(self._do(work), name="memory-save")
            self._jobs.add(job)
            job.add_done_callback(self._done)
        return bool(batches)

    def _done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        self.wake()

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

    async def _claim(self) -> list[Batch]:
        if isinstance(self._saver, MayBeAway) and not self._saver.is_ready():
            return []
        limit = self._options.owners if self._saver.policy is None else self._jobs_max - len(self._jobs)
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            return await outbox.claim(connection, self._size, limit=limit, lease_s=self._lease_s)

    async def _do(self, batches: Sequence[Batch]) -> None:
        try:
            await self._save(batches)
        except Exception as error:  # noqa: BLE001 - one job: the lease brings its batches back
            await self._out_of_reach(error)

    async def _save(self, batches: Sequence[Batch]) -> None:
        try:
            async with asyncio.timeout(self._prepare_timeout_s):
                prepared = await self._saver.prepare(batches)
            await self._write(batches, prepared)
        except Exception as error:  # noqa: BLE001 - one job: whatever its embedder or its row does stays here
            if len(batches) > 1 and not isinstance(error, TimeoutError):
                # One of them may be to blame: the others shall not wait for it.
                for batch in batches:
                    await self._save([batch])
                return
            for batch in batches:
                await self._postpone(batch, error)

    async def _write(self, batches: Sequence[Batch], prepared: Sequence[Any]) -> None:
        async with (
            asyncio.timeout(self._options.database_timeout_s),
            self._pool.connection() as connection,
            connection.transaction(),
        ):
            await outbox.hold(connection, batches)
            pairs = zip(batches, prepared, strict=True)
            ours = [(batch, result) for batch, result in pairs if await outbox.settle(connection, batch)]
            if ours:
                await self._saver.write(connection, [batch for batch, _ in ours], [result for _, result in ours])
        self._saver.written([batch for batch, _ in ours])
        exchanges = sum(len(batch) for batch, _ in ours)
        self._observer.saved(exchanges)
        logger.debug("memory: saved %d exchanges", exchanges)

    async def _postpone(self, batch: Batch, error: Exception) -> None:
        options, attempts = self._options, batch[0].attempts
        pause_s = min(options.first_retry_s * 2.0 ** min(attempts - 1, 30), options.longest_retry_s)
        given_up = attempts >= options.attempts_max
        logger.log(
            logging.ERROR if given_up else logging.WARNING,
            "memory: saving failed for the %d. time (%s); %s",
            attempts,
            type(error).__name__,
            "given up, the entry stays in the outbox" if given_up else f"again in {pause_s:g} s",
        )
        self._observer.save_failed(kind_of(error))
        async with asyncio.timeout(options.database_timeout_s), self._pool.connection() as connection:
            await outbox.postpone(
                connection,
                batch,
                pause_s=pause_s,
                attempts_together=options.attempts_together,
                attempts_max=options.attempts_max,
                error=type(error).__name__,
            )

    async def _out_of_reach(self, error: Exception) -> None:
        """After a restart of the database every waiting connection is dead: nobody else shall be given one."""
        logger.warning("memory: the outbox is out of reach (%s); trying again", type(error).__name__)
        with contextlib.suppress(OperationalError, PoolTimeout, TimeoutError):
            async with asyncio.timeout(self._options.database_timeout_s):
                await self._pool.check()

    async def _keep_house(self) -> None:
        """Tell how much waits, and drop what is over, each from time to time."""
        now = self._loop_time()
        if now < min(self._purge_at, self._report_at):
            return
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            if now >= self._report_at:
                depth = await outbox.depth(connection)
                self._observer.queue(depth.waiting, depth.dead, depth.oldest.total_seconds())
                self._report_at = now + self._options.report_every_s
            if now >= self._purge_at:
                await outbox.purge(connection, keep_s=self._options.keep_keys_s)
                self._purge_at = now + self._options.purge_every_s

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

"""Does what was accepted: one per process, woken by every acceptance, patient with failures.

Several processes may work off one journal where that can be shared. An owner's writes are done one after the other.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from psycopg import AsyncConnection

from ..errors import ForgottenMeanwhileError, MemoryInputError, MemoryNotFoundError
from .accepted import Accepted, NotOursError, Operation, Within
from .journal import Journal

logger = logging.getLogger(__name__)

_CANCEL_TIMEOUT_S = 2.0
_DOUBLINGS_MAX = 30  # a pause is at its longest long before


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """How accepted writes are done. A lease is renewed while its write is being done, and ends with the process."""

    parallel: int = 8
    timeout_s: float = 300.0  # for one write
    lease_s: float = 15.0
    idle_pause_s: float = 1.0  # finds what others left behind, and what comes again
    first_retry_s: float = 0.5
    longest_retry_s: float = 300.0
    attempts_max: int = 50  # about three and a half hours


class Doer(Protocol):
    """Where accepted writes are done."""

    async def perform(self, accepted: Accepted, settle: Within | None) -> None:
        """Done when it returns. `settle` belongs into the transaction that writes; whoever has none, or whose journal
        lies elsewhere, does the same again without harm where it is broken off before it was settled.

        A MemoryInputError is final; whatever else it raises may be better next time.
        """
        ...


class Worker:
    """The journal belongs to the caller, who also closes it. What is accepted without a worker waits for one."""

    def __init__(self, journal: Journal, doer: Doer, options: WorkOptions | None = None) -> None:
        self.journal = journal
        self._doer = doer
        self._options = options or WorkOptions()
        self._woken = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._jobs: dict[asyncio.Task[None], Accepted] = {}
        self._again_until = -math.inf  # by when what was postponed here is due, and begun again

    @property
    def is_busy(self) -> bool:
        """Something is being done, or was postponed by this process and would wait for the next start."""
        return bool(self._jobs) or time.monotonic() < self._again_until

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="memory-worker")
        self._keeper = asyncio.create_task(self._keep(), name="memory-worker-leases")

    def wake(self) -> None:
        self._woken.set()

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> Accepted:
        """As the journal does it, and begin at once."""
        accepted = await self.journal.accept(operation, user_id, arguments)
        self.wake()
        return accepted

    async def replay(self, user_id: str | None = None) -> int:
        count = await self.journal.replay(user_id)
        self.wake()
        return count

    async def stop(self, deadline_s: float) -> None:
        """Do what is due as long as the deadline allows; the rest is done by the next start, and at once."""
        if self._task is None or self._keeper is None:
            return
        self._stopping = True
        self.wake()
        await asyncio.wait({self._task}, timeout=deadline_s)
        left = dict(self._jobs)
        tasks = {self._task, self._keeper, *left}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT_S)  # a frozen database may hold them longer
        for accepted in left.values():
            await self._tell("released", self.journal.release(accepted))
        self._task = self._keeper = None

    async def _run(self) -> None:
        while True:
            is_busy = await self._look()
            if len(self._jobs) >= self._options.parallel or (self._stopping and self._jobs):
                await asyncio.wait(self._jobs, return_when=asyncio.FIRST_COMPLETED)
                continue
            if self._stopping and not is_busy:
                return
            if not is_busy:
                await self._rest()

    async def _look(self) -> bool:
        """Begin what is due; False if there was nothing."""
        try:
            writes = await self.journal.claim(
                limit=self._options.parallel - len(self._jobs), lease_s=self._options.lease_s
            )
        except Exception as error:  # noqa: BLE001 - the worker outlives every failure of its journal
            logger.warning("memory: accepted writes are out of reach (%s); trying again", type(error).__name__)
            return False
        for accepted in writes:
            job = asyncio.create_task(self._do(accepted), name="memory-write")
            self._jobs[job] = accepted
            job.add_done_callback(self._done)
        return bool(writes)

    def _done(self, job: asyncio.Task[None]) -> None:
        del self._jobs[job]
        self.wake()

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.idle_pause_s):
                await self._woken.wait()
        self._woken.clear()

    async def _keep(self) -> None:
        """As long as this process lives nobody else begins what it is doing."""
        while True:
            await asyncio.sleep(self._options.lease_s / 3)
            if writes := list(self._jobs.values()):
                await self._tell("kept", self.journal.renew(writes, lease_s=self._options.lease_s))

    async def _do(self, accepted: Accepted) -> None:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                await self._perform(accepted)
        except NotOursError:
            logger.info("memory: an accepted %s was dropped or taken over", accepted.operation)
        except (MemoryNotFoundError, ForgottenMeanwhileError):
            logger.info("memory: nothing was left to do for an accepted %s", accepted.operation)
            await self._tell("settled", self.journal.settle(accepted))
        except Exception as error:  # noqa: BLE001 - one write: whatever its model or its store does stays here
            await self._failed(accepted, error)

    async def _perform(self, accepted: Accepted) -> None:
        if accepted.operation == "delete_all":
            # What was given up before must not come back behind it; everything else was done before.
            scope = {name: accepted.arguments.get(name) for name in ("agent_id", "run_id")}
            await self.journal.forget(accepted.user_id, before=accepted.id, **scope)
        if accepted.operation == "update" and "text" in accepted.arguments:
            await self.journal.overtake(accepted)
        within = _Told(self.journal.within(accepted))
        await self._doer.perform(accepted, within.settle)
        if not within.was_settled:
            await self.journal.settle(accepted)

    async def _failed(self, accepted: Accepted, error: Exception) -> None:
        options, kind = self._options, type(error).__name__
        if isinstance(error, MemoryInputError) or accepted.attempts >= options.attempts_max:
            logger.error("memory: an accepted %s was given up (%s); it stays in the journal", accepted.operation, kind)
            await self._tell("given up", self.journal.give_up(accepted, error=kind))
            return
        doublings = min(accepted.attempts - 1, _DOUBLINGS_MAX)
        pause_s = min(options.first_retry_s * 2.0**doublings, options.longest_retry_s)
        logger.warning(
            "memory: an accepted %s failed for the %d. time (%s); again in %g s",
            accepted.operation,
            accepted.attempts,
            kind,
            pause_s,
        )
        self._again_until = max(
            self._again_until, time.monotonic() + max(pause_s, options.lease_s) + 3 * options.idle_pause_s
        )
        await self._tell("postponed", self.journal.postpone(accepted, pause_s=pause_s, error=kind))

    async def _tell(self, what: str, telling: Awaitable[None]) -> None:
        """The lease helps where the journal cannot be told."""
        try:
            await telling
        except Exception as error:  # noqa: BLE001 - the worker outlives every failure of its journal
            logger.warning("memory: an accepted write could not be %s (%s)", what, type(error).__name__)


class _Told:
    """Notes whether a write was settled by whoever did it; then its transaction is committed when that one returns."""

    def __init__(self, within: Within | None) -> None:
        self.was_settled = False
        self._within = within

    @property
    def settle(self) -> Within | None:
        return None if self._within is None else self._settle

    async def _settle(self, connection: AsyncConnection[Any]) -> None:
        assert self._within is not None
        await self._within(connection)
        self.was_settled = True

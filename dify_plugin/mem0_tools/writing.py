"""Accepted writes: written down before they are promised, and done in the background under the id of their request."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from xiaozhi_memory.mem0ai.accepting.accepted import Accepted, Operation, Within
from xiaozhi_memory.mem0ai.accepting.doing import EngineDoer
from xiaozhi_memory.mem0ai.accepting.journal import Journal
from xiaozhi_memory.mem0ai.accepting.worker import Worker, WorkOptions

from . import logs
from .constants import QUEUE_MONITOR_INTERVAL
from .patience import WRITE_S

logger = logging.getLogger(__name__)

PARALLEL_MAX = 8  # more would leave no connection for who asks; so many calls of a model run at once


class Writing:
    """The journal belongs to the caller, who closes it after this has stopped.

    What was given up is tried again by each start, since whoever accepted it cannot be asked. How much waits is told
    from time to time.
    """

    def __init__(
        self, journal: Journal, engine: Any, *, parallel: int, told_every_s: float = QUEUE_MONITOR_INTERVAL
    ) -> None:
        self._journal = journal
        self._told_every_s = told_every_s
        self._watching: asyncio.Task[None] | None = None
        options = WorkOptions(parallel=min(parallel, PARALLEL_MAX), timeout_s=WRITE_S)
        self._worker = Worker(journal, _Traced(engine), options)

    @property
    def is_busy(self) -> bool:
        return self._worker.is_busy

    def start(self) -> None:
        self._worker.start()
        self._watching = asyncio.create_task(self._watch(), name="mem0-writes-watch")

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> None:
        traced = {**arguments, "trace": logs.run_id.get()}
        await self._worker.accept(operation, user_id, traced)

    async def waiting(self) -> int:
        return await self._journal.waiting()

    async def drop(self, user_id: str, agent_id: str | None) -> None:
        await self._journal.forget(user_id, agent_id=agent_id)

    async def stop(self, deadline_s: float) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self._worker.stop(deadline_s)

    async def _watch(self) -> None:
        try:
            if count := await self._worker.replay():
                logger.warning("%d accepted writes had been given up and are tried again", count)
        except Exception as error:  # noqa: BLE001 - the next start tries again
            logger.warning("what had been given up is not tried again (%s)", type(error).__name__)
        while True:
            await asyncio.sleep(self._told_every_s)
            await self._tell()

    async def _tell(self) -> None:
        try:
            waiting, dead = await self._journal.waiting(), len(await self._journal.dead())
        except Exception as error:  # noqa: BLE001 - the worker says more of it
            logger.warning("nobody knows how many accepted writes wait (%s)", type(error).__name__)
        else:
            logger.info("accepted writes: %d wait, %d were given up", waiting, dead)


class _Traced(EngineDoer):
    async def perform(self, accepted: Accepted, settle: Within | None) -> None:
        logs.begin_run(str(accepted.arguments.get("trace", "")))
        await super().perform(accepted, settle)

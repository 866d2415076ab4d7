"""One task from its first record to its last: its users are worked through, and how far it is stands written."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from .extract import Order, Tools, extract_user
from .pool import Ceiling, work_through
from .records import Records
from .report import UserReport
from .task import COMPLETED, FAILED, FLUSH_S, TaskState, first_error

logger = logging.getLogger(__name__)

_FLUSHED_AFTER = 5  # users
_LAST_ATTEMPTS = 3
_LAST_S = 10.0
_PAUSE_S = 1.0
_STOPPED = "stopped"

_BROKEN_OFF = "it was broken off: what is left is taken by the next run"


class TaskRun:
    """`stopping` tells whether no more users are to be begun."""

    def __init__(
        self, state: TaskState, users: Sequence[str], records: Records, ceiling: Ceiling, stopping: Callable[[], bool]
    ) -> None:
        self.state = state
        self._users = users
        self._records = records
        self._ceiling = ceiling
        self._stopping = stopping
        self._due_at = asyncio.get_running_loop().time() + state.budget_s
        self._flushing = asyncio.Lock()

    async def begin(self) -> None:
        """Written down, so that whoever asks for the task from now on finds it."""
        await self._flush()

    async def run(self, order: Order, tools: Tools, *, at_once: int) -> None:
        """It ends with a final record, whatever happens, unless the process dies or the records cannot be reached."""

        async def work(user_id: str) -> UserReport:
            return await extract_user(user_id, order, tools, is_over=self._skip)

        beating = asyncio.create_task(self._beat(), name="memory-extraction-progress")
        try:
            await work_through(self._users, work, self._done, ceiling=self._ceiling, at_once=at_once, skip=self._skip)
            self._finish()
        except asyncio.CancelledError:
            self._fail(_BROKEN_OFF)
            raise
        except Exception as error:
            self._fail(type(error).__name__)
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await self._last()

    def _finish(self) -> None:
        state = self.state
        failed = state.totals.processed_users > 0 and state.totals.status == "ERROR"
        state.status = FAILED if failed else COMPLETED
        state.error = first_error(state.reports) if failed else ""
        if any(_STOPPED in (report.get("reason"), report["stop_reason"]) for report in state.reports):
            self._fail(_BROKEN_OFF)

    def _fail(self, error: str) -> None:
        self.state.status, self.state.error = FAILED, error

    def _skip(self) -> str:
        if self._stopping():
            return _STOPPED
        return "time_budget_exceeded" if asyncio.get_running_loop().time() >= self._due_at else ""

    async def _done(self, report: UserReport) -> None:
        self.state.add(report)
        if self.state.unsaved >= _FLUSHED_AFTER:
            await self._try_flush()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._try_flush()

    async def _try_flush(self) -> bool:
        """The work goes on where the records cannot be reached; what is not told yet is told later."""
        try:
            await self._flush()
        except Exception as error:  # noqa: BLE001 - of a store
            logger.warning("memory: the progress of a task is not written down yet (%s)", type(error).__name__)
            return False
        return True

    async def _flush(self) -> None:
        async with self._flushing:
            told = self.state.unsaved
            await self._records.put_task(self.state.kept(datetime.now(UTC)))
            self.state.unsaved -= told

    async def _last(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                for _ in range(_LAST_ATTEMPTS):
                    if await self._try_flush():
                        return
                    await asyncio.sleep(_PAUSE_S)

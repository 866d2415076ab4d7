"""What recalls leave behind in what they brought back, written down a little later: never in the way of a turn."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from .uses import Recall, Recalls, TracesAwayError

logger = logging.getLogger(__name__)

_CANCEL_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """So much is waited for more: the recalls of several turns are written down together, and a crash loses as many.
    So many recalls may wait; beyond that new ones leave no trace.
    """

    flush_every_s: float = 30.0
    waiting_max: int = 50_000
    database_timeout_s: float = 10.0


class WritesTraces(Protocol):
    async def note(self, user_id: str, recalls: Recalls) -> None:
        """These were used. A TracesAwayError where that cannot be written down now, and may be later."""
        ...


class AccessLog:
    """What waits is lost only by a crash. Before `start` and after `stop` nothing is noted."""

    def __init__(self, traces: WritesTraces, options: AccessOptions) -> None:
        self._traces = traces
        self._options = options
        self._waiting: dict[str, dict[UUID, list[Recall]]] = {}
        self._count = 0
        self._overflowed = 0
        self._noted = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name="memory-access-log")

    async def stop(self, deadline_s: float) -> None:
        """Write down what waits, as long as the deadline allows."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping.set()
        self._noted.set()
        await asyncio.wait({task}, timeout=deadline_s)
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_TIMEOUT_S)  # a frozen database may hold it longer
        if self._count:
            logger.warning("memory: %d recalls leave no trace, the database did not take them", self._count)

    def note(self, user_id: str, qualities: Iterable[tuple[UUID, float]], at: datetime) -> None:
        """These were used as an answer, and fitted so well. Takes no time, and never fails."""
        if self._task is None:
            return
        for id, quality in qualities:
            if self._count >= self._options.waiting_max:
                self._overflowed += 1
                continue
            self._waiting.setdefault(user_id, {}).setdefault(id, []).append(Recall(quality, at))
            self._count += 1
            self._noted.set()

    def forget(self, user_id: str) -> None:
        """This owner was forgotten: their recalls leave no trace."""
        self._count -= _size(self._waiting.pop(user_id, {}))

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self._noted.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.flush_every_s):
                    await self._stopping.wait()
            self._noted.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write down what waits now; what somebody else is writing is there as well when it returns."""
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        """Owner by owner. While the database is out of reach all waits; what it does not take is given up."""
        if self._overflowed:
            logger.warning("memory: %d recalls leave no trace, too many waited already", self._overflowed)
            self._overflowed = 0
        for user_id in list(self._waiting):
            recalls = self._waiting.pop(user_id)
            try:
                async with asyncio.timeout(self._options.database_timeout_s):
                    await self._traces.note(user_id, recalls)
            except (TracesAwayError, TimeoutError) as error:
                logger.warning("memory: what was recalled is not noted yet (%s)", str(error) or type(error).__name__)
                self._put_back(user_id, recalls)
                self._noted.set()
                return
            except Exception as error:  # noqa: BLE001 - one owner's: it must not hold up the others
                logger.warning("memory: some recalls leave no trace (%s)", type(error).__name__)
            self._count -= _size(recalls)

    def _put_back(self, user_id: str, recalls: dict[UUID, list[Recall]]) -> None:
        """Before what was recalled meanwhile."""
        newer = self._waiting.get(user_id, {})
        self._waiting[user_id] = {id: recalls.get(id, []) + newer.get(id, []) for id in recalls | newer}


def _size(recalls: Recalls) -> int:
    return sum(map(len, recalls.values()))

"""Gathers small blocking jobs of many devices into few executor calls: one call under way, the rest makes the next.

There is no linger: an idle lane starts at once, and a busy one collects. It knows nothing of sound.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from loguru import logger

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Job, Result]):
    job: Job
    size: int
    deliver: Callable[[Result | None], None]


class BatchLane(Generic[Job, Result]):
    """`work` gets the jobs of one batch and returns a result for each. It never runs twice at a time.

    Each submitter has one job waiting at most, which bounds the queue by the number of devices.
    """

    def __init__(
        self, executor: Executor, work: Callable[[Sequence[Job]], Sequence[Result]], max_batch_size: int
    ) -> None:
        self._executor = executor
        self._work = work
        self._max_batch_size = max_batch_size
        self._urgent: deque[_Waiting[Job, Result]] = deque()
        self._waiting: deque[_Waiting[Job, Result]] = deque()
        self._call: asyncio.Future[Sequence[Result]] | None = None
        self._scheduled = False
        self._closed = False
        self.batches = 0

    def submit(self, job: Job, size: int, deliver: Callable[[Result | None], None], *, urgent: bool = False) -> None:
        """`deliver` is called on the loop; with None when the work failed. `size` counts against the batch."""
        if self._closed:
            return
        (self._urgent if urgent else self._waiting).append(_Waiting(job, size, deliver))
        if self._call is None and not self._scheduled:
            # Not at once: whoever else has a packet in this turn of the loop comes along.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._launch)

    async def close(self) -> None:
        """Wait for the call under way; what waits behind it is dropped."""
        self._closed = True
        self._urgent.clear()
        self._waiting.clear()
        if self._call is not None:
            await asyncio.wait([self._call], timeout=1.0)

    def _launch(self) -> None:
        self._scheduled = False
        batch = self._take_batch()
        if not batch:
            return
        self.batches += 1
        jobs = [waiting.job for waiting in batch]
        self._call = asyncio.get_running_loop().run_in_executor(self._executor, self._work, jobs)
        self._call.add_done_callback(lambda call: self._landed(call, batch))

    def _take_batch(self) -> list[_Waiting[Job, Result]]:
        batch: list[_Waiting[Job, Result]] = []
        size = 0
        while queue := self._urgent or self._waiting:
            size += queue[0].size
            if batch and size > self._max_batch_size:
                break
            batch.append(queue.popleft())
        return batch

    def _landed(self, call: asyncio.Future[Sequence[Result]], batch: list[_Waiting[Job, Result]]) -> None:
        self._call = None
        results = _results_of(call, len(batch))
        # The next call starts first: the executor works while the loop looks at these results.
        self._launch()
        for waiting, result in zip(batch, results, strict=True):
            try:
                waiting.deliver(result)
            except Exception:  # noqa: BLE001 - one device's mistake must not cost the others of its batch theirs
                logger.exception("a device could not take what was heard")


def _results_of(call: asyncio.Future[Sequence[Result]], count: int) -> Sequence[Result | None]:
    if call.cancelled():
        return [None] * count
    failure = call.exception()
    if failure is None:
        return call.result()
    logger.error("hearing failed for a batch of {} jobs: {!r}", count, failure)
    return [None] * count

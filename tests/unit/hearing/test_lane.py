import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from xiaozhi_server.core.hearing.lane import BatchLane

DEADLINE_S = 5.0


class Work:
    """Doubles numbers; waits for its gate, so that a test decides when a call ends."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, jobs: Sequence[int]) -> list[int]:
        self.batches.append(list(jobs))
        assert self.gate.wait(DEADLINE_S)
        if 13 in jobs:
            raise ValueError("thirteen")
        return [job * 2 for job in jobs]


class Taken:
    def __init__(self) -> None:
        self.results: list[int | None] = []
        self._changed = asyncio.Event()

    def take(self, result: int | None) -> None:
        self.results.append(result)
        self._changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.results) < count:
                self._changed.clear()
                await self._changed.wait()


async def test_what_comes_during_a_call_makes_the_next_one() -> None:
    work, taken = Work(), Taken()
    with ThreadPoolExecutor(2) as executor:
        lane = BatchLane[int, int](executor, work, 100)
        for job in (1, 2):
            lane.submit(job, 1, taken.take)
        await asyncio.sleep(0)
        for job in (3, 4, 5):
            lane.submit(job, 1, taken.take)
        lane.submit(6, 1, taken.take, urgent=True)
        work.gate.set()
        await taken.until(6)
        await lane.close()
    assert work.batches == [[1, 2], [6, 3, 4, 5]]
    assert taken.results == [2, 4, 12, 6, 8, 10]
    assert lane.batches == 2


async def test_a_batch_is_bounded_by_its_size() -> None:
    work, taken = Work(), Taken()
    work.gate.set()
    with ThreadPoolExecutor(2) as executor:
        lane = BatchLane[int, int](executor, work, 10)
        for job in range(4):
            lane.submit(job, 4, taken.take)
        lane.submit(4, 50, taken.take)
        await taken.until(5)
        await lane.close()
    assert work.batches == [[0, 1], [2, 3], [4]]


async def test_failing_work_and_a_failing_taker_cost_only_themselves() -> None:
    work, taken = Work(), Taken()
    work.gate.set()

    def refuse(_: int | None) -> None:
        raise RuntimeError("no")

    with ThreadPoolExecutor(2) as executor:
        lane = BatchLane[int, int](executor, work, 1)
        lane.submit(13, 1, taken.take)
        lane.submit(1, 1, refuse)
        lane.submit(2, 1, taken.take)
        await taken.until(2)
        await lane.close()
    assert taken.results == [None, 4]


async def test_after_the_close_nothing_starts() -> None:
    work, taken = Work(), Taken()
    with ThreadPoolExecutor(2) as executor:
        lane = BatchLane[int, int](executor, work, 1)
        lane.submit(1, 1, taken.take)
        await asyncio.sleep(0)
        lane.submit(2, 1, taken.take)
        asyncio.get_running_loop().call_soon(work.gate.set)
        await lane.close()
        lane.submit(3, 1, taken.take)
        await asyncio.sleep(0)
    assert work.batches == [[1]]
    assert taken.results == [2]

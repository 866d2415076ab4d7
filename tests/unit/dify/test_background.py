"""One loop for the process: bounded, cancelled when it is late, and ended well."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from mem0_tools.background import Background, Lane, Lanes, StoppedError
from mem0_tools.errors import OverloadedError


async def nothing() -> None:
    """Nothing is to be closed."""


@pytest.fixture
def background() -> Iterator[Background]:
    background = Background()
    yield background
    background.stop(nothing, deadline_s=5.0)


def test_work_is_done_on_a_loop_of_its_own(background: Background) -> None:
    async def work() -> str:
        return threading.current_thread().name

    assert background.run(Lane(1, 1), work, timeout_s=5.0) == "mem0-tools"


def test_what_work_raises_is_raised(background: Background) -> None:
    async def work() -> None:
        raise ValueError("oops")

    lane = Lane(1, 1)
    with pytest.raises(ValueError, match="oops"):
        background.run(lane, work, timeout_s=None)
    assert lane.pending == 0


def test_work_that_is_late_is_cancelled(background: Background) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    lane = Lane(1, 1)
    with pytest.raises(TimeoutError):
        background.run(lane, work, timeout_s=0.05)
    assert ended.wait(5.0)
    assert lane.pending == 0


def test_waiting_for_a_turn_counts_as_time(background: Background) -> None:
    lane, begun, free = Lane(1, 2), threading.Event(), asyncio.Event()

    async def holds() -> None:
        begun.set()
        await free.wait()

    holding = threading.Thread(target=lambda: background.run(lane, holds, timeout_s=20.0))
    holding.start()
    assert begun.wait(5.0)
    with pytest.raises(TimeoutError):
        background.run(lane, nothing, timeout_s=0.05)

    async def let_go() -> None:
        free.set()

    background.call(let_go, timeout_s=5.0)
    holding.join()
    background.run(lane, nothing, timeout_s=5.0)


def test_overload_is_said_before_anything_is_begun(background: Background) -> None:
    lane, free = Lane(1, 3), asyncio.Event()
    begun: list[int] = []
    all_in = threading.Barrier(2)

    async def holds() -> None:
        begun.append(1)
        await free.wait()

    def hold() -> None:
        background.run(lane, holds, timeout_s=20.0)

    threads = [threading.Thread(target=hold) for _ in range(3)]
    for thread in threads:
        thread.start()
    watcher = threading.Thread(target=lambda: _until(lambda: lane.pending == 3, all_in))
    watcher.start()
    all_in.wait(5.0)
    with pytest.raises(OverloadedError):
        background.run(lane, holds, timeout_s=5.0)
    assert len(begun) == 1  # one runs, two wait, and the fourth left no trace

    async def let_go() -> None:
        free.set()

    background.call(let_go, timeout_s=5.0)
    for thread in [*threads, watcher]:
        thread.join()
    assert lane.pending == 0


def _until(holds: object, then: threading.Barrier) -> None:
    pause = threading.Event()
    while not holds():  # type: ignore[operator]
        pause.wait(0.01)
    then.wait(5.0)


def test_stopping_lets_the_last_work_end_and_cancels_the_rest() -> None:
    background, seen = Background(), []
    begun = threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    problems: list[Exception] = []

    def call() -> None:
        try:
            background.run(Lane(1, 1), endless, timeout_s=None)
        except StoppedError as error:
            problems.append(error)

    async def last() -> None:
        seen.append("last")

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(5.0)
    background.stop(last, deadline_s=5.0)
    caller.join()
    assert seen == ["last", "cancelled"]
    assert len(problems) == 1
    with pytest.raises(StoppedError):
        background.run(Lane(1, 1), nothing, timeout_s=1.0)
    background.stop(last, deadline_s=5.0)  # once is enough
    assert seen == ["last", "cancelled"]


def test_what_does_not_end_does_not_hold_up_the_end() -> None:
    background = Background()
    background.run(Lane(1, 1), nothing, timeout_s=5.0)

    async def hangs() -> None:
        await asyncio.Event().wait()

    background.stop(hangs, deadline_s=0.05)
    with pytest.raises(StoppedError):
        background.run(Lane(1, 1), nothing, timeout_s=1.0)


def test_lanes_in_which_nothing_is_under_way_are_let_go(background: Background) -> None:
    """However many credentials there were in the life of the process."""
    lanes = Lanes()
    for number in range(50):
        with lanes.lane(f"credentials {number}", 1, 1) as lane:
            assert lanes.count() <= 2, "the last one may be about to be left"
            background.run(lane, nothing, timeout_s=5.0)
    _until_true(lambda: _count_after_a_call(lanes) == 0)
    with lanes.lane("the last", 1, 1) as one:
        with lanes.lane("the last", 1, 1) as same:
            assert same is one
        assert lanes.count() == 1, "somebody has it still"
    assert lanes.count() == 0


def test_a_lane_stays_while_anything_is_under_way_in_it(background: Background) -> None:
    """Also what its caller has given up and what has not ended yet: it holds its place."""
    lanes, ending, free = Lanes(), threading.Event(), asyncio.Event()

    async def holds() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            while not free.is_set():  # however often it is cancelled
                with suppress(asyncio.CancelledError):
                    await free.wait()

    def call() -> None:
        with lanes.lane("mine", 1, 2) as lane:
            background.run(lane, holds, timeout_s=0.05)

    with pytest.raises(TimeoutError):
        call()
    assert ending.wait(5.0)
    with lanes.lane("another's", 1, 1):
        assert lanes.count() == 2
    with lanes.lane("mine", 1, 2) as lane, pytest.raises(TimeoutError):
        background.run(lane, nothing, timeout_s=0.05)

    async def let_go() -> None:
        free.set()

    background.call(let_go, timeout_s=5.0)
    _until_true(lambda: _count_after_a_call(lanes) == 0)
    assert lanes.pending("mine") == 0


def _count_after_a_call(lanes: Lanes) -> int:
    with lanes.lane("anybody's", 1, 1):
        pass
    return lanes.count()


def _until_true(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not holds():
        pause.wait(0.01)

"""Calls that block: a few at a time, none for longer than it may take, and never the end of the program's way out."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.threads import (
    BrokenOffError,
    Threads,
    ThreadsBusyError,
    ask_loop,
)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened at the end, so that no thread is left behind."""
    gate = threading.Event()
    yield gate
    gate.set()


async def test_a_result_and_an_error_come_back() -> None:
    threads = Threads("test", 1)
    assert await threads.run(lambda: threading.current_thread().name, timeout_s=5) == "test"
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0, timeout_s=5)


async def test_no_more_than_so_many_at_once() -> None:
    threads, running, most = Threads("test", 2), [0], [0]
    lock = threading.Lock()

    def job() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1

    await asyncio.gather(*(threads.run(job, timeout_s=5) for _ in range(10)))
    assert most == [2]


async def test_a_call_that_hangs_is_left_and_holds_nobody_up(gate: threading.Event) -> None:
    threads = Threads("test", 1)
    with pytest.raises(TimeoutError):
        await threads.run(gate.wait, timeout_s=0.02)
    assert threads.left_behind == 1
    assert await threads.run(lambda: 7, timeout_s=5) == 7
    gate.set()
    async with asyncio.timeout(5):
        while threads.left_behind:  # noqa: ASYNC110 - a thread has no event of the loop
            await asyncio.sleep(0.005)


async def test_a_cancelled_call_keeps_its_place_until_its_time_is_over(gate: threading.Event) -> None:
    threads = Threads("test", 1)
    task = asyncio.create_task(threads.run(gate.wait, timeout_s=0.2))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads.left_behind == 0
    assert await threads.run(lambda: 7, timeout_s=5) == 7  # begun when the first one's time was over
    assert threads.left_behind == 1


async def test_a_cancelled_call_that_ends_leaves_nothing(gate: threading.Event) -> None:
    threads = Threads("test", 1)
    task = asyncio.create_task(threads.run(gate.wait, timeout_s=60))
    await asyncio.sleep(0)
    task.cancel()
    gate.set()
    assert await threads.run(lambda: 7, timeout_s=5) == 7
    assert threads.left_behind == 0


async def test_waiting_for_a_thread_counts(gate: threading.Event) -> None:
    threads = Threads("test", 1)
    first = asyncio.create_task(threads.run(gate.wait, timeout_s=60))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await threads.run(lambda: 7, timeout_s=0.02)
    assert threads.left_behind == 0
    gate.set()
    assert await first is True


async def test_when_too_many_hang_nothing_more_is_begun(gate: threading.Event) -> None:
    threads = Threads("test", 4)
    hanging = await asyncio.gather(*(threads.run(gate.wait, timeout_s=0.02) for _ in range(4)), return_exceptions=True)
    more = await asyncio.gather(*(threads.run(gate.wait, timeout_s=0.02) for _ in range(4)), return_exceptions=True)
    assert {type(error) for error in (*hanging, *more)} == {TimeoutError}
    with pytest.raises(ThreadsBusyError):
        await threads.run(lambda: 7, timeout_s=5)


def test_a_hanging_call_does_not_outlive_the_program() -> None:
    gate = threading.Event()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await Threads("test", 1).run(gate.wait, timeout_s=0.02)

    asyncio.run(main())
    (left,) = [thread for thread in threading.enumerate() if thread.name == "test"]
    assert left.daemon
    gate.set()  # the loop is closed when the answer comes: it is dropped
    left.join(5)
    assert not left.is_alive()


async def test_it_is_quiet_once_nothing_runs_those_left_behind_included(gate: threading.Event) -> None:
    threads = Threads("test", 1)
    assert await threads.quiet(timeout_s=0)
    with pytest.raises(TimeoutError):
        await threads.run(gate.wait, timeout_s=0.02)
    assert not await threads.quiet(timeout_s=0.02)
    gate.set()
    assert await threads.quiet(timeout_s=5)


class Asked:
    """What a thread asks of the loop and never gets."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()
        self.times = 0
        self.failures: list[type[Exception]] = []
        self._loop = asyncio.get_running_loop()

    async def work(self) -> None:
        self.times += 1
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    def job(self, *, times: int = 1) -> None:
        for _ in range(times):
            try:
                ask_loop(self.work(), self._loop)
            except BrokenOffError as error:
                self.failures.append(type(error))


async def test_what_a_cancelled_call_asks_of_the_loop_ends_and_its_place_is_free() -> None:
    threads, asked = Threads("test", 1), Asked()
    task = asyncio.create_task(threads.run(asked.job, timeout_s=60))
    await asked.began.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await asked.ended.wait()
        assert await threads.run(lambda: 7, timeout_s=60) == 7
    assert threads.left_behind == 0
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_late_call_asks_of_the_loop_ends() -> None:
    threads, asked = Threads("test", 1), Asked()
    with pytest.raises(TimeoutError):
        await threads.run(asked.job, timeout_s=0.05)
    assert await threads.quiet(timeout_s=5)
    async with asyncio.timeout(5):
        await asked.ended.wait()
    assert threads.left_behind == 0


async def test_a_call_that_nobody_waits_for_gets_nothing_more_of_the_loop() -> None:
    threads, asked = Threads("test", 1), Asked()
    with pytest.raises(TimeoutError):
        await threads.run(lambda: asked.job(times=3), timeout_s=0.05)
    assert await threads.quiet(timeout_s=5)
    assert asked.failures == [BrokenOffError] * 3
    assert asked.times == 1


async def test_what_the_loop_is_asked_for_has_a_time_of_its_own() -> None:
    threads, asked, loop = Threads("test", 1), Asked(), asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        await threads.run(lambda: ask_loop(asked.work(), loop, timeout_s=0.02), timeout_s=60)
    async with asyncio.timeout(5):
        await asked.ended.wait()
    assert threads.left_behind == 0


async def test_a_loop_that_has_ended_is_not_waited_for() -> None:
    ended, asked = asyncio.new_event_loop(), Asked()
    ended.close()
    with pytest.raises(BrokenOffError):
        ask_loop(asked.work(), ended)
    assert asked.times == 0

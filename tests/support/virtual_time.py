"""An event loop whose clock jumps: when nothing is ready it moves to the next timer instead of waiting for it.

Work in executors and on sockets is real: the clock stands still while any executor job is under way.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from tests.support.leaks import fail_on_leaked_tasks

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# How long to really wait for an executor job or a socket before looking again.
REAL_POLL_S = 0.001


class _JumpingSelector(selectors.DefaultSelector):
    """Polls for real events; where there are none, the loop's wait becomes a jump of its clock."""

    def __init__(self, advance: Callable[[float], None], is_busy: Callable[[], bool]) -> None:
        super().__init__()
        self._advance = advance
        self._is_busy = is_busy

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or self._is_busy():
            return super().select(None if timeout is None else REAL_POLL_S)
        self._advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual_now = 0.0
        self._executor_jobs = 0
        super().__init__(_JumpingSelector(self._advance, self._is_busy))

    def time(self) -> float:
        return self._virtual_now

    def _advance(self, seconds: float) -> None:
        self._virtual_now += seconds

    def _is_busy(self) -> bool:
        return self._executor_jobs > 0

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._executor_jobs += 1
        future.add_done_callback(self._executor_job_done)
        return future

    async def shutdown_default_executor(self, *timeout: float | None) -> None:
        """Real work too: a clock that jumped would reach the end of the timeout at once."""
        self._executor_jobs += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._executor_jobs -= 1

    def _executor_job_done(self, _: object) -> None:
        self._executor_jobs -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a fresh loop with a virtual clock that starts at 0; it must leave no task behind."""

    async def checked() -> T:
        before = asyncio.all_tasks()
        result = await main
        await fail_on_leaked_tasks(before)
        return result

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(checked())

"""Blocking calls of other people's libraries, a few at a time and never longer than they may take."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_LEFT_BEHIND_MAX = 8


class ThreadsBusyError(RuntimeError):
    """So many earlier calls hang that no other one is begun."""


class Threads:
    """At most `count` calls at once; the others wait for their turn, within their own time.

    A thread cannot be ended from outside: a call that takes too long is left behind in its own, and neither holds the
    next one up nor the end of the program. Belongs to one event loop.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._free = asyncio.Semaphore(count)
        self._left_behind = 0
        self._running = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def left_behind(self) -> int:
        """How many calls are still running though their time is over."""
        return self._left_behind

    async def run(self, job: Callable[[], T], *, timeout_s: float) -> T:
        """What the job returns or raises; TimeoutError when it takes longer, waiting for a thread included.

        Whoever waits may be cancelled: the call then keeps its place until it ends or its time is over.
        """
        if self._left_behind >= _LEFT_BEHIND_MAX:
            raise ThreadsBusyError(f"{self._left_behind} calls of {self._name} hang")
        due_at = asyncio.get_running_loop().time() + timeout_s
        async with asyncio.timeout_at(due_at):
            await self._free.acquire()
        self._running += 1
        self._quiet.clear()
        return await _Call(job, self._ended, self._left).begun(self._name, due_at)

    async def quiet(self, *, timeout_s: float) -> bool:
        """Wait until no call runs any more, those left behind included; False if one still does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()
        return self._quiet.is_set()

    def _ended(self, was_left: bool) -> None:
        self._running -= 1
        if not self._running:
            self._quiet.set()
        if was_left:
            self._left_behind -= 1
        else:
            self._free.release()

    def _left(self) -> None:
        self._left_behind += 1
        self._free.release()


class _Call(Generic[T]):
    """One call in a thread of its own. What happens to it is told on the event loop."""

    def __init__(self, job: Callable[[], T], on_end: Callable[[bool], None], on_leave: Callable[[], None]) -> None:
        self._job = job
        self._on_end = on_end
        self._on_leave = on_leave
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[T] = self._loop.create_future()
        self._is_left = False

    def begun(self, name: str, due_at: float) -> "asyncio.Future[T]":
        self._timer = self._loop.call_at(due_at, self._overdue)
        threading.Thread(target=self._work, name=name, daemon=True).start()
        return self._result

    def _work(self) -> None:
        try:
            value = self._job()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            self._tell(self._result.set_exception, error)
        else:
            self._tell(self._result.set_result, value)

    def _tell(self, settle: Callable[[Any], None], what: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._ended, settle, what)

    def _ended(self, settle: Callable[[Any], None], what: object) -> None:
        self._timer.cancel()
        self._on_end(self._is_left)
        if not self._result.done():
            settle(what)

    def _overdue(self) -> None:
        self._is_left = True
        self._on_leave()
        if not self._result.done():
            self._result.set_exception(TimeoutError())

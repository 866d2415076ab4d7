"""Blocking calls of other people's libraries, a few at a time and never longer than they may take."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_LEFT_BEHIND_MAX = 8


class ThreadsBusyError(RuntimeError):
    """So many earlier calls hang that no other one is begun."""


class BrokenOffError(RuntimeError):
    """Nobody waits any more for what was asked."""


class Threads:
    """At most `count` calls at once; the others wait for their turn, within their own time.

    A call that nobody waits for any more ends where it asks the event loop (`ask_loop`). Elsewhere a thread cannot be
    ended from outside: a call that takes too long is left behind in its own, and neither holds the next one up nor the
    end of the program. Belongs to one event loop.
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

        Whoever waits may be cancelled: what the call asks of the event loop is then broken off, and the call keeps its
        place until it ends or its time is over.
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


def loop_of_call() -> asyncio.AbstractEventLoop | None:
    """The event loop that waits for the call in whose thread this is; None elsewhere."""
    return None if _here.call is None else _here.call.loop


def ask_loop(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, *, timeout_s: float | None = None) -> T:
    """From a thread: what comes of `work` on the loop, where it ends as soon as nobody waits for the thread's call.

    BrokenOffError where it was ended; TimeoutError where it takes longer.
    """
    call = _here.call
    if loop.is_closed() or (call is not None and call.is_broken_off):
        work.close()
        raise BrokenOffError("nobody waits any more")
    asked = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        with contextlib.nullcontext() if call is None else call.asking(asked):
            return asked.result(timeout_s)
    except CancelledError:
        raise BrokenOffError("nobody waits any more") from None
    finally:
        asked.cancel()


class _Call(Generic[T]):
    """One call in a thread of its own. What happens to it is told on the event loop."""

    def __init__(self, job: Callable[[], T], on_end: Callable[[bool], None], on_leave: Callable[[], None]) -> None:
        self._job = job
        self._on_end = on_end
        self._on_leave = on_leave
        self.loop = asyncio.get_running_loop()
        self._result: asyncio.Future[T] = self.loop.create_future()
        self._is_left = False
        self._lock = threading.Lock()
        self._asked: Future[Any] | None = None
        self.is_broken_off = False

    def begun(self, name: str, due_at: float) -> "asyncio.Future[T]":
        self._timer = self.loop.call_at(due_at, self._overdue)
        self._result.add_done_callback(self._no_longer_awaited)
        threading.Thread(target=self._work, name=name, daemon=True).start()
        return self._result

    @contextlib.contextmanager
    def asking(self, asked: "Future[Any]") -> Iterator[None]:
        """In the call's thread, while it waits for the loop: a thread waits for one thing at a time."""
        with self._lock:
            self._asked = asked
            is_broken_off = self.is_broken_off
        if is_broken_off:
            asked.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._asked = None

    def _work(self) -> None:
        _here.call = self
        try:
            value = self._job()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            self._tell(self._result.set_exception, error)
        else:
            self._tell(self._result.set_result, value)

    def _tell(self, settle: Callable[[Any], None], what: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self.loop.call_soon_threadsafe(self._ended, settle, what)

    def _ended(self, settle: Callable[[Any], None], what: object) -> None:
        self._timer.cancel()
        self._on_end(self._is_left)
        if not self._result.done():
            settle(what)

    def _no_longer_awaited(self, result: "asyncio.Future[T]") -> None:
        if result.cancelled():
            self._break_off()

    def _break_off(self) -> None:
        with self._lock:
            self.is_broken_off = True
            asked = self._asked
        if asked is not None:
            asked.cancel()

    def _overdue(self) -> None:
        self._is_left = True
        self._on_leave()
        self._break_off()
        if not self._result.done():
            self._result.set_exception(TimeoutError())


class _Here(threading.local):
    call: _Call[Any] | None = None


_here = _Here()

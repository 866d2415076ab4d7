"""One event loop for the whole process, in a thread of its own, with a bound to how much it does and how much waits.

The tools are called in threads (greenlets, in Dify). Whoever calls waits for the loop no longer than is said; what is
late is cancelled there, so that its statement or its request ends too.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from .errors import OverloadedError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_GRACE_S = 1.0  # for the loop to say itself that time is up
_STOP_GRACE_S = 2.0


class StoppedError(Exception):
    """The process ends: nothing new is begun."""


class Lane:
    """How much of one client may run at once, and how much may be under way in all."""

    def __init__(self, most_running: int, most_pending: int) -> None:
        self.most_pending = most_pending
        self._room = asyncio.Semaphore(most_running)
        self._running = 0
        self._pending = 0
        self._lock = threading.Lock()

    @property
    def pending(self) -> int:
        return self._pending

    @property
    def is_idle(self) -> bool:
        """What was given up may still be ending."""
        return not self._pending and not self._running

    def enter(self) -> None:
        with self._lock:
            if self._pending >= self.most_pending:
                raise OverloadedError(f"{self._pending} operations are under way already")
            self._pending += 1

    def leave(self) -> None:
        with self._lock:
            self._pending -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Once there is room, on the loop."""
        async with self._room:
            self._running += 1
            try:
                yield
            finally:
                self._running -= 1


class Lanes:
    """The lanes of those that call. One in which nothing is under way is not kept: a new one is the same."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._callers: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def lane(self, whose: str, most_running: int, most_pending: int) -> Iterator[Lane]:
        """It is the same one for all who come meanwhile."""
        with self._lock:
            self._drop_idle()
            lane = self._lanes.setdefault(whose, Lane(most_running, most_pending))
            self._callers[whose] = self._callers.get(whose, 0) + 1
        try:
            yield lane
        finally:
            with self._lock:
                self._callers[whose] -= 1
                self._drop_idle()

    def pending(self, whose: str) -> int:
        lane = self._lanes.get(whose)
        return 0 if lane is None else lane.pending

    def count(self) -> int:
        return len(self._lanes)

    def _drop_idle(self) -> None:
        for whose in [one for one, lane in self._lanes.items() if lane.is_idle and not self._callers[one]]:
            del self._lanes[whose], self._callers[whose]


class Background:
    """The thread starts with the first call and ends with `stop`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._stopped = False

    def run(self, lane: Lane, work: Callable[[], Awaitable[T]], *, timeout_s: float | None) -> T:
        """What `work` gives; OverloadedError before anything was begun, TimeoutError once it was cancelled."""
        loop = self._running_loop()
        lane.enter()
        try:
            future = asyncio.run_coroutine_threadsafe(_limited(lane, work, timeout_s), loop)
        except BaseException:
            lane.leave()
            raise
        future.add_done_callback(lambda _: lane.leave())
        try:
            return future.result(None if timeout_s is None else timeout_s + _GRACE_S)
        except CancelledError:
            raise StoppedError("the plugin is being stopped") from None
        finally:
            if not future.done():
                future.cancel()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]], *, timeout_s: float) -> T:
        """The same without a lane, for what is no operation on a memory."""
        future = asyncio.run_coroutine_threadsafe(work(), self._running_loop())
        try:
            return future.result(timeout_s)
        finally:
            if not future.done():
                future.cancel()

    def stop(self, last: Callable[[], Coroutine[Any, Any, None]], *, deadline_s: float) -> None:
        """`last` has so long; then whatever still runs is cancelled, and the thread ends."""
        with self._starting:
            already, self._stopped = self._stopped, True
            loop, thread = self._loop, self._thread
        if already or loop is None or thread is None:
            return
        future = asyncio.run_coroutine_threadsafe(_ended(last, deadline_s), loop)
        try:
            future.result(deadline_s + _STOP_GRACE_S)
        except (TimeoutError, CancelledError):
            logger.warning("something did not end in time")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_GRACE_S)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._stopped:
                raise StoppedError("the plugin is being stopped")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: a process that must go is not held up by it.
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="mem0-tools", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _limited(lane: Lane, work: Callable[[], Awaitable[T]], timeout_s: float | None) -> T:
    async with asyncio.timeout(timeout_s), lane.turn():
        return await work()


async def _ended(last: Callable[[], Coroutine[Any, Any, None]], deadline_s: float) -> None:
    """`last` waits for whoever uses what it closes."""
    mine = asyncio.current_task()
    try:
        async with asyncio.timeout(deadline_s):
            await last()
    except TimeoutError:
        logger.warning("the plugin was to end within %g s and is cut off", deadline_s)
    left = [task for task in asyncio.all_tasks() if task is not mine]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_STOP_GRACE_S / 2)

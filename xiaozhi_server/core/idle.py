"""A deadline that moves away whenever something happens."""

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Calls `on_idle` once nothing has happened for `idle_s`, and again after each further such time.

    `touch` only notes the time, so it may be called for every frame: the timer looks again when it goes off.
    """

    def __init__(self, idle_s: float, on_idle: Callable[[], None]) -> None:
        self._idle_s = idle_s
        self._on_idle = on_idle
        self._loop = asyncio.get_running_loop()
        self._touched_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.touch()
        self._wait()

    def touch(self) -> None:
        self._touched_at = self._loop.time()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self.stop()
        self._timer = self._loop.call_at(self._touched_at + self._idle_s, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._touched_at + self._idle_s:
            self._wait()
            return
        self.start()
        self._on_idle()

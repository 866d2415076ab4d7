"""Notices when a person has heard nothing for too long while the turn is still at work. One timer, no task."""

import asyncio
from collections.abc import Callable


class Patience:
    """Calls back once, after the first silence that lasts `after_s`. Silence begins where `quiet_since` says."""

    def __init__(self, after_s: float, quiet_since: Callable[[], float], on_silence: Callable[[], None]) -> None:
        self._after_s = after_s
        self._quiet_since = quiet_since
        self._on_silence = on_silence
        self._started_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        self._timer = loop.call_at(self._started_at + self._after_s, self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        ends_at = max(self._started_at, self._quiet_since()) + self._after_s
        if ends_at > loop.time():
            self._timer = loop.call_at(ends_at, self._check)
            return
        self._timer = None
        self._on_silence()

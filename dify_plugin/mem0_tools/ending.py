"""The end of the process, asked for or not: what was accepted is done as far as there is time, and nothing hangs."""

import _thread
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from . import process

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def end_well() -> Iterator[None]:
    """SIGTERM and SIGINT, and coming out of the block in any way."""
    once = _Once(process.stop)
    for number in _SIGNALS:
        signal.signal(number, lambda _signal, _frame: _leave(once, _signal, _frame))
    try:
        yield
    finally:
        once()


def _leave(once: Callable[[], Any], _signal: int, _frame: FrameType | None) -> None:
    """In a thread: the one that is interrupted may hold whatever is needed to end, and must not wait (nor start one by
    `Thread.start`, which does): with gevent it is the hub, which runs all others.
    """

    def ending() -> None:
        once()
        # Threads of others, such as the one that reads what the daemon says, end with nothing less.
        os._exit(0)

    _thread.start_new_thread(ending, ())


class _Once:
    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if self._done:
                return
            self._done = True
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 - the process ends in any case
                logger.warning("the plugin did not end well (%s)", type(error).__name__)

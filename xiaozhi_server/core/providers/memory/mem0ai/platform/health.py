"""Whether the platform can be asked. One failure is enough to ask it no more, and to try by itself until it is back.

Who waits for an answer shall not wait for a service of which it is known that it is away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from .errors import PlatformAwayError, PlatformBusyError, PlatformError, PlatformRefusedError
from .options import PlatformOptions

logger = logging.getLogger(__name__)


class Health:
    """`has_fallback`: another memory takes over meanwhile, which is what the log then says."""

    def __init__(self, ping: Callable[[], Awaitable[None]], options: PlatformOptions, *, has_fallback: bool) -> None:
        self.is_usable = True
        self._ping = ping
        self._options = options
        self._has_fallback = has_fallback
        self._has_worked = False
        self._is_refused = False
        self._is_announced = False
        self._pause_s = 0.0
        self._doubt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def was_never_let_in(self) -> bool:
        """The key is refused and never was good: this is no service that will soon be back."""
        return self._is_refused and not self._has_worked

    def start(self) -> None:
        """The first thing is to find out whether the key is good; nobody waits for that."""
        self._doubt.set()
        self._task = asyncio.create_task(self._run(), name="mem0-platform-health")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def worked(self) -> None:
        """The platform did what it was asked for."""
        self._let_in()
        self._pause_s = 0.0
        if self._is_announced:
            logger.info("memory: Mem0's platform is back")
            self._is_announced = False

    def failed(self, error: PlatformError) -> None:
        """Several may come back with bad news at once: the first one counts. Before `start` nobody is told."""
        if (
            self._task is not None
            and self.is_usable
            and isinstance(error, PlatformAwayError | PlatformBusyError | PlatformRefusedError)
        ):
            self._go_away(error)

    async def _run(self) -> None:
        while True:
            await self._doubt.wait()
            await asyncio.sleep(self._pause_s)
            try:
                await self._ping()
            except PlatformError as error:
                self._go_away(error)
            except Exception as error:  # noqa: BLE001 - a provider call: whatever it is, it shall be tried again
                self._go_away(PlatformAwayError(type(error).__name__, may_have_worked=False))
            else:
                # To answer is not to work: only a real success makes the pauses short again.
                self._let_in()
                self._doubt.clear()

    def _let_in(self) -> None:
        self._has_worked = self.is_usable = True
        self._is_refused = False

    def _go_away(self, error: PlatformError) -> None:
        is_refused = isinstance(error, PlatformRefusedError)
        if not self._is_announced or is_refused != self._is_refused:
            self._announce(error, is_refused)
        self._is_refused = is_refused
        self.is_usable = False
        grown_s = min(2 * self._pause_s, self._options.longest_probe_s) or self._options.first_probe_s
        self._pause_s = max(grown_s, error.pause_s, self._options.refused_probe_s if is_refused else 0.0)
        self._doubt.set()

    def _announce(self, error: PlatformError, is_refused: bool) -> None:
        self._is_announced = True
        what = "refuses the api_key" if is_refused else "is away"
        if self._has_fallback:
            meanwhile = "memories are kept here meanwhile"
        elif is_refused and not self._has_worked:
            meanwhile = "nothing is remembered until it is mended"
        else:
            meanwhile = "nothing is recalled, and what is said is kept until it is back"
        level = logging.ERROR if is_refused else logging.WARNING
        logger.log(level, "memory: Mem0's platform %s (%s): %s", what, error, meanwhile)

"""Many users, a few at a time: whoever is slow holds up nobody, and what goes wrong with one is told of that one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from .report import UserReport

logger = logging.getLogger(__name__)

USERS_AT_ONCE = 5


class Ceiling:
    """For all extraction in a process, whoever ordered it: so many users at once, so many tasks under way."""

    def __init__(self, users: int = 2 * USERS_AT_ONCE, tasks: int = 20) -> None:
        self._slots = asyncio.Semaphore(users)
        self._tasks = tasks
        self._running = 0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        async with self._slots:
            yield

    def take_task(self) -> bool:
        """False where there are too many already. Give it back with `end_task`."""
        if self._running >= self._tasks:
            return False
        self._running += 1
        return True

    def end_task(self) -> None:
        self._running -= 1


async def work_through(
    users: Iterable[str],
    work: Callable[[str], Awaitable[UserReport]],
    done: Callable[[UserReport], Awaitable[None]],
    *,
    ceiling: Ceiling,
    at_once: int,
    skip: Callable[[], str],
) -> None:
    """`skip` is asked in each slot: its answer is why no more users are begun. `done` is told of all, as they end."""
    left = iter(users)
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(_worker(left, work, done, ceiling, skip), name="memory-extraction-worker")


async def _worker(
    left: Iterator[str],
    work: Callable[[str], Awaitable[UserReport]],
    done: Callable[[UserReport], Awaitable[None]],
    ceiling: Ceiling,
    skip: Callable[[], str],
) -> None:
    for user_id in left:
        async with ceiling.slot():
            reason = skip()
            report = UserReport(user_id, reason=reason) if reason else await _guarded(user_id, work)
        await done(report)


async def _guarded(user_id: str, work: Callable[[str], Awaitable[UserReport]]) -> UserReport:
    try:
        return await work(user_id)
    except Exception as error:  # noqa: BLE001 - the others go on
        logger.warning("memory: the extraction of one user failed (%s)", type(error).__name__)
        report = UserReport(user_id)
        report.failed(type(error).__name__, error)
        return report

"""Work that outlives the turn which began it (writing an exchange down), kept until it is done. Knows no turn."""

import asyncio
from collections.abc import Coroutine

from loguru import logger

# Far above what a database that answers in its own time limits can leave behind.
LIMIT_S = 30.0


class Background:
    """Holds its tasks, ends each of them within a limit, and can be waited for at shutdown."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def keep(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._bounded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, deadline_s: float) -> bool:
        """Wait for all that is under way; False if some of it had to be given up."""
        if not self._tasks:
            return True
        _, late = await asyncio.wait(set(self._tasks), timeout=deadline_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    async def _bounded(self, work: Coroutine[None, None, None], name: str) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await work
        except Exception as error:  # noqa: BLE001 - the boundary of a job: nobody waits for its error
            logger.error("{} failed: {}", name, type(error).__name__)

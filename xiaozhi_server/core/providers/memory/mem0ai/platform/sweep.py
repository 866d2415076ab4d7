"""Deletes from the platform what appears there too often or too late: see `doubts`."""

import asyncio
import logging
from typing import Any

from psycopg import Error as DatabaseError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..statements import statement
from .api import PlatformApi
from .errors import PlatformError
from .health import Health
from .options import PlatformOptions

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

_AT_ONCE = 20
_HOUSE_EVERY = 100  # rounds


class Sweep:
    """In the background, by name, for as long as a request may still have its effect."""

    def __init__(self, pool: Pool, api: PlatformApi, health: Health, options: PlatformOptions) -> None:
        self._pool = pool
        self._api = api
        self._health = health
        self._options = options
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="mem0-platform-sweep")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def wake(self) -> None:
        """Something was decided."""
        self._woken.set()

    async def once(self, user_id: str | None = None) -> int:
        """Look for what is due, of one owner or of all; how many requests were looked for."""
        due = await self._due(user_id)
        for owner, send_id, kept in due:
            found = await self._api.sent(owner, send_id)
            for memory_id, attempt in found:
                if attempt != kept:
                    await self._api.delete(memory_id)
        return len(due)

    async def _run(self) -> None:
        rounds = 0
        while True:
            try:
                if rounds % _HOUSE_EVERY == 0:
                    await self._keep_house()
                rounds += 1
                while self._health.is_usable and await self.once() == _AT_ONCE:
                    pass
            except PlatformError as error:
                self._health.failed(error)
            except (DatabaseError, PoolTimeout, TimeoutError) as error:
                logger.warning("memory: what came twice cannot be looked for (%s)", type(error).__name__)
            await self._rest()

    async def _rest(self) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(self._options.sweep_pause_s):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _due(self, user_id: str | None) -> list[tuple[str, str, str | None]]:
        options = self._options
        parameters = {
            "user_id": user_id,
            "limit": _AT_ONCE,
            "least_pause_s": options.sweep_pause_s,
            "longest_pause_s": options.sweep_longest_pause_s,
        }
        async with asyncio.timeout(options.database_timeout_s), self._pool.connection() as connection:
            cursor = await connection.execute(statement("platform_sweep"), parameters)
            return [(owner, send_id, kept) for owner, send_id, kept in await cursor.fetchall()]

    async def _keep_house(self) -> None:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            await connection.execute(statement("platform_orphans"))
            await connection.execute(statement("platform_swept"), {"doubt_s": self._options.doubt_s})

"""Word of every change to the memories, from this process and all others, by PostgreSQL's LISTEN and NOTIFY.

The triggers that tell are in the migrations. Only while `Changes` listens may anybody trust what he read before.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, Error, Notify
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..rows.pgstore import reading

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

KEY_TOLD = 200  # characters of an entry's key
_CHANNEL = "memory_changed"
_EVERYBODY = ""
_CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class ChangeHandlers:
    """Called in the order of events. `changed`: of an owner, maybe by an exchange with this key (else "").

    `listening`: whatever is read from now on will be told about. `lost`: nothing is told any more.
    """

    changed: Callable[[str, str], None]
    everything_changed: Callable[[], None]
    listening: Callable[[], None]
    lost: Callable[[], None]


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """A connection that is silent for `check_every_s` is asked whether it lives, and is lost without an answer."""

    connect_timeout_s: float = 5.0
    check_every_s: float = 5.0
    check_timeout_s: float = 3.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0


class Changes:
    """Has a connection of its own, made like those of the pool: it is busy listening and cannot be shared."""

    def __init__(self, pool: Pool, handlers: ChangeHandlers, options: ChangeOptions | None = None) -> None:
        self._pool = pool
        self._handlers = handlers
        self._options = options or ChangeOptions()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens when it returns, unless that fails: then it goes on trying."""
        tried = asyncio.Event()
        self._task = asyncio.create_task(self._run(tried), name="memory-changes")
        await tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSE_TIMEOUT_S)
            self._task = None

    async def _run(self, tried: asyncio.Event) -> None:
        pause_s = self._options.first_pause_s
        while True:
            try:
                connection = await self._connected()
                pause_s = self._options.first_pause_s
                await self._listen(connection, tried)
            except (Error, OSError, PoolTimeout) as error:
                level = logging.WARNING if pause_s == self._options.first_pause_s else logging.DEBUG
                logger.log(level, "memory: no word of changes (%s), nothing is kept at hand", type(error).__name__)
            tried.set()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._options.longest_pause_s)

    async def _connected(self) -> AsyncConnection[Any]:
        """A connection that listens, and is proven to hear."""
        async with asyncio.timeout(self._options.connect_timeout_s):
            connection = await connect_like(self._pool)
        try:
            async with asyncio.timeout(self._options.check_timeout_s):
                await connection.execute(f"LISTEN {_CHANNEL}")
                await self._hear_ourselves(connection)
        except BaseException:
            await close_quietly(connection)
            raise
        return connection

    async def _hear_ourselves(self, connection: AsyncConnection[Any]) -> None:
        """What pools connections between us and PostgreSQL may take our word and never bring us an answer."""
        token = f" {uuid.uuid4().hex}"  # nobody's id begins with a blank
        async with reading(self._pool) as other:
            await other.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, token))
        async with contextlib.aclosing(connection.notifies()) as notices:
            async for notice in notices:
                if notice.payload == token:
                    return

    async def _listen(self, connection: AsyncConnection[Any], tried: asyncio.Event) -> None:
        self._handlers.listening()
        tried.set()
        try:
            while True:
                # What arrives between two rounds waits for the next one.
                async for notice in connection.notifies(timeout=self._options.check_every_s):
                    self._tell(notice)
                async with asyncio.timeout(self._options.check_timeout_s):
                    await connection.execute("SELECT 1")
        finally:
            self._handlers.lost()
            await close_quietly(connection)

    def _tell(self, notice: Notify) -> None:
        if notice.payload == _EVERYBODY:
            self._handlers.everything_changed()
            return
        user_id, _, key = notice.payload.partition("\t")
        self._handlers.changed(user_id, key)


async def connect_like(pool: Pool) -> AsyncConnection[Any]:
    """A connection as the pool makes them, but outside of it: for what holds one for long."""
    conninfo, kwargs = pool.conninfo, pool.kwargs
    if callable(conninfo):
        conninfo = await _called(conninfo)
    if callable(kwargs):
        kwargs = await _called(kwargs)
    return await AsyncConnection.connect(conninfo, **{**(kwargs or {}), "autocommit": True})


async def _called(make: Callable[[], Any]) -> Any:
    made = make()
    return await made if asyncio.iscoroutine(made) else made


async def close_quietly(connection: AsyncConnection[Any]) -> None:
    """For one outside of the pool: a database that is gone or frozen holds nobody up."""
    with contextlib.suppress(Error, OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.close()

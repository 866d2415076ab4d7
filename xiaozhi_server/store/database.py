"""The way to PostgreSQL: the wait at the start, the schema, the pool, and deadlines that hold even if it freezes."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from psycopg import AsyncConnection, Error, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ..core.providers.memory.migrate import MigrationError, apply_migrations

LEDGER = "xiaozhi_migration"
_CLOSE_TIMEOUT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_PROGRESS_EVERY_S = 2.0

# Waiting does not mend these. The driver knows no code for a refused connection, so its text has to do; where that is
# in another language we wait in vain up to the limit, and then say the same.
_HOPELESS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
    "connection is bad: invalid",
)


class DatabaseError(Exception):
    """The database cannot be used; the text says why, in one line without secrets."""


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """`statement_timeout_s` ends a statement inside PostgreSQL, `pool_wait_s` the wait for a free connection."""

    pool_min: int = 2
    pool_max: int = 16
    pool_wait_s: float = 1.0
    connect_timeout_s: float = 3.0
    statement_timeout_s: float = 10.0
    lock_timeout_s: float = 5.0
    idle_in_transaction_timeout_s: float = 30.0


def _say_nothing(_line: str) -> None: ...


class Database:
    """An open pool on a schema that is up to date."""

    def __init__(self, dsn: str, options: DatabaseOptions) -> None:
        self._options = options
        self.pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            dsn,
            open=False,
            min_size=options.pool_min,
            max_size=options.pool_max,
            timeout=options.pool_wait_s,
            configure=self._configure,
            check=self._check_alive,
            # The pool's own retries back off to minutes. Given up at once, they are made anew for whoever asks next.
            reconnect_timeout=0,
            kwargs={"connect_timeout": int(options.connect_timeout_s), "application_name": "xiaozhi-server"},
        )

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        start_timeout_s: float = 60.0,
        on_progress: Callable[[str], None] = _say_nothing,
        options: DatabaseOptions | None = None,
    ) -> "Database":
        """Wait for the database up to a limit, bring its schema up to date, fill the pool."""
        database = cls(checked_dsn(dsn), options or DatabaseOptions())
        first = await database._first_connection(dsn, start_timeout_s, on_progress)
        async with first:
            await _migrate(first)
        try:
            # Once it runs a question waits a second for a connection at most; a far database takes longer to make one.
            await database.pool.open(wait=True, timeout=start_timeout_s)
        except PoolTimeout as error:
            raise DatabaseError(f"the database answered once, and then no more: {error}: see database.url") from error
        return database

    async def close(self) -> None:
        """A connection that is just being made to a frozen PostgreSQL is not waited for."""
        await self.pool.close(_CLOSE_TIMEOUT_S)

    @contextlib.asynccontextmanager
    async def transaction(self, deadline_s: float) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection inside a transaction that commits at the end.

        After `deadline_s` its socket is cut: cancelling a statement would wait for an answer, which a frozen
        PostgreSQL never gives.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with self.pool.connection(timeout=min(deadline_s, self._options.pool_wait_s)) as connection:
            fuse = loop.call_at(started + deadline_s, _cut, connection)
            try:
                yield connection
                await connection.commit()
            finally:
                fuse.cancel()

    async def ping(self, deadline_s: float = 2.0) -> float:
        """One real request; how long it took in milliseconds."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with self.transaction(deadline_s) as connection:
            await connection.execute("SELECT 1")
        return (loop.time() - started) * 1000

    async def _configure(self, connection: AsyncConnection[Any]) -> None:
        limits_s = {
            "statement_timeout": self._options.statement_timeout_s,
            "lock_timeout": self._options.lock_timeout_s,
            "idle_in_transaction_session_timeout": self._options.idle_in_transaction_timeout_s,
        }
        values = [text for name, limit_s in limits_s.items() for text in (name, f"{round(limit_s * 1000)}ms")]
        fuse = asyncio.get_running_loop().call_later(self._options.connect_timeout_s, _cut, connection)
        try:
            # One statement: over a long way every one counts.
            await connection.execute(f"SELECT {', '.join(['set_config(%s, %s, false)'] * len(limits_s))}", values)
            await connection.commit()
        finally:
            fuse.cancel()

    async def _check_alive(self, connection: AsyncConnection[Any]) -> None:
        """Before somebody gets a connection: look, without asking PostgreSQL, whether its other end has gone.

        After a restart all that wait are dead, and trying one after the other would take the pool seconds.
        """
        if not _is_alive(connection):
            await self.pool.drain()
            raise OperationalError("the connection was closed while nobody used it")

    async def _first_connection(
        self, dsn: str, start_timeout_s: float, on_progress: Callable[[str], None]
    ) -> AsyncConnection[Any]:
        loop = asyncio.get_running_loop()
        started = told = loop.time()
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await AsyncConnection.connect(dsn, connect_timeout=int(self._options.connect_timeout_s))
            except OperationalError as error:
                reason = _first_line(error)
            if any(words in reason for words in _HOPELESS):
                raise DatabaseError(f"the database refuses us: {reason}: see database.url")
            waited_s = loop.time() - started
            if waited_s + pause_s > start_timeout_s:
                raise DatabaseError(f"no database after {waited_s:.0f} s: {reason}: see database.url")
            if pause_s == _FIRST_PAUSE_S or loop.time() - told >= _PROGRESS_EVERY_S:
                told = loop.time()
                on_progress(f"waiting for the database ({waited_s:.0f} of {start_timeout_s:.0f} s): {reason}")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def checked_dsn(dsn: str) -> str:
    """The driver's own complaints quote the string, with the password in it: so they must not come up."""
    try:
        parts = conninfo_to_dict(dsn)
    except ProgrammingError:
        parts = {"host": "@"}
    ports = str(parts.get("port") or "").split(",")
    if "@" in str(parts.get("host") or "") or not all(port.isdecimal() for port in ports if port):
        raise DatabaseError(
            "database.url is not a PostgreSQL address: write postgresql://USER:PASSWORD@HOST:PORT/NAME, "
            "and in the password %40 for @, %3A for :, %2F for / and %20 for a space"
        )
    return dsn


async def _migrate(connection: AsyncConnection[Any]) -> None:
    try:
        await apply_migrations(connection, resources.files(__package__).joinpath("migrations"), ledger=LEDGER)
    except (MigrationError, Error) as error:
        raise DatabaseError(f"the database schema cannot be brought up to date: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _is_alive(connection: AsyncConnection[Any]) -> bool:
    """Nothing is to be read from a connection that is well and idle; from a dead one, its end."""
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        try:
            twin.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _cut(connection: AsyncConnection[Any]) -> None:
    with contextlib.suppress(OSError, Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)

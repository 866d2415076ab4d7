"""A small SQLite file of our own, on a local disk. All of it blocks: for a thread."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .errors import PartFailedError

T = TypeVar("T")

# Of what is deleted no text stays in the file.
_SETTINGS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY")
_PATIENCE_S = 5.0


class OwnFileError(PartFailedError):
    """The file cannot be used. Never quotes it."""


class OwnFile:
    """Opened with the first call. Several programs may use the same file."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._open: sqlite3.Connection | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._open is None:
                self._open = _opened(self._path, self._schema)
            yield self._open
        except (sqlite3.Error, OSError) as error:
            reason = getattr(error, "sqlite_errorname", None) or type(error).__name__
            raise OwnFileError(f"{self._path.name} cannot be read or written ({reason})") from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """In one transaction: on the disk at the end."""
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def leave_no_trace(self) -> None:
        """What was deleted still stands in the log beside the file until that is emptied."""
        with self.reading() as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class OwnThread:
    """The one thread that works on a file, one call after the other."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """What was begun is done, also where nobody waits for it any more."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    async def end(self, last: Callable[[], None]) -> None:
        await self.run(last)
        self._thread.shutdown(wait=False)


def _opened(path: Path, schema: str) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Nobody else may read what somebody said.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    # The thread that calls may be another one each time, but never two at once.
    database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}")
        database.executescript(schema)
    except BaseException:
        database.close()
        raise
    return database

"""Accepted writes in an SQLite file. All of it blocks: for a thread (see file.py).

Several programs may write something down in the same file. One of them works it off: whoever holds the lock beside it,
which the system takes back from a program that ends, however it ends.
"""

import contextlib
import json
import logging
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from .accepted import Accepted, DeadWrite, JournalBusyError, JournalFullError

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accepted (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    user_id     TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    arguments   TEXT    NOT NULL,
    accepted_at TEXT    NOT NULL,
    state       TEXT    NOT NULL DEFAULT 'waiting',
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      REAL    NOT NULL DEFAULT 0,
    error       TEXT
);
CREATE INDEX IF NOT EXISTS accepted_next ON accepted (user_id, seq) WHERE state = 'waiting';
"""
# A write that is promised has reached the disk; of what is deleted no text stays in the file.
_SETTINGS = ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY")
_PUT = """
INSERT INTO accepted (id, operation, user_id, arguments, accepted_at, attempts, state, error)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_WAITING = "SELECT count(*) FROM accepted WHERE state = 'waiting'"
_CLAIM = """
UPDATE accepted SET attempts = attempts + 1, due_at = :until
WHERE seq IN (
    SELECT head.seq FROM (SELECT min(seq) AS seq FROM accepted WHERE state = 'waiting' GROUP BY user_id) AS head
    JOIN accepted AS due ON due.seq = head.seq
    WHERE due.due_at <= :now ORDER BY head.seq LIMIT :limit
)
RETURNING id, operation, user_id, arguments, accepted_at, attempts
"""
# As long as it is ours: nobody else has taken it over, and it was not dropped.
_RENEW = "UPDATE accepted SET due_at = ? WHERE id = ? AND state = 'waiting' AND attempts = ?"
_SETTLE = "DELETE FROM accepted WHERE id = ? AND state = 'waiting' AND attempts = ?"
_POSTPONE = "UPDATE accepted SET due_at = ?, error = ? WHERE id = ? AND state = 'waiting' AND attempts = ?"
_RELEASE = "UPDATE accepted SET due_at = 0, attempts = attempts - 1 WHERE id = ? AND state = 'waiting' AND attempts = ?"
_GIVE_UP = "UPDATE accepted SET state = 'dead', error = ? WHERE id = ? AND state = 'waiting' AND attempts = ?"
_DEAD = """
SELECT id, operation, user_id, arguments, accepted_at, attempts, coalesce(error, '')
FROM accepted
WHERE state = 'dead' AND (:user_id IS NULL OR user_id = :user_id)
ORDER BY seq
LIMIT :limit
"""
_REPLAY = """
UPDATE accepted SET state = 'waiting', attempts = 0, error = NULL, due_at = 0
WHERE state = 'dead' AND (:user_id IS NULL OR user_id = :user_id) AND (:id IS NULL OR id = :id)
"""
_ALL = """
SELECT id, operation, user_id, arguments, accepted_at, attempts, state, error FROM accepted NOT INDEXED ORDER BY seq
"""
_FORGET = """
DELETE FROM accepted
WHERE user_id = :user_id AND operation = 'add'
  AND (:agent_id IS NULL OR json_extract(arguments, '$.agent_id') = :agent_id)
  AND (:run_id IS NULL OR json_extract(arguments, '$.run_id') = :run_id)
  AND (:before IS NULL OR seq < (SELECT seq FROM accepted WHERE id = :before))
"""
_OVERTAKE = """
DELETE FROM accepted
WHERE user_id = ? AND operation = 'update' AND state = 'dead'
  AND json_extract(arguments, '$.id') = ? AND json_extract(arguments, '$.metadata') IS NULL
  AND seq < (SELECT seq FROM accepted WHERE id = ?)
"""
_PATIENCE_S = 5.0
_MAGIC = b"SQLite format 3\0"
_HEAD = struct.Struct(">16sH10xI")  # the size of a page, and how many there are


class JournalFile:
    """`clock` tells the seconds since 1970."""

    def __init__(self, path: Path, *, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock
        self._open: sqlite3.Connection | None = None
        self._lock: sqlite3.Connection | None = None

    def put(self, writes: Sequence[Accepted]) -> list[Accepted | JournalFullError]:
        """All in one transaction: on the disk when it returns."""
        with self._writing() as database:
            room = self._limit - _number(database, _WAITING)
            database.executemany(_PUT, [_row(write) for write in writes[: max(0, room)]])
        full = JournalFullError(f"{self._limit} writes are not done yet")
        return [write if place < room else full for place, write in enumerate(writes)]

    def waiting(self) -> int:
        return _number(self._database(), _WAITING)

    def claim(self, *, limit: int, lease_s: float) -> list[Accepted]:
        """Nothing, where another program works the file off."""
        if not self._is_ours():
            return []
        now = self._clock()
        with self._writing() as database:
            rows = database.execute(_CLAIM, {"now": now, "until": now + lease_s, "limit": limit}).fetchall()
        return sorted(map(_accepted, rows), key=lambda write: write.accepted_at)

    def renew(self, writes: Sequence[Accepted], *, lease_s: float) -> None:
        until = self._clock() + lease_s
        with self._writing() as database:
            database.executemany(_RENEW, [(until, *_own(write)) for write in writes])

    def settle(self, write: Accepted) -> None:
        with self._writing() as database:
            database.execute(_SETTLE, _own(write))

    def postpone(self, write: Accepted, *, pause_s: float, error: str) -> None:
        with self._writing() as database:
            database.execute(_POSTPONE, (self._clock() + pause_s, error, *_own(write)))

    def release(self, write: Accepted) -> None:
        with self._writing() as database:
            database.execute(_RELEASE, _own(write))

    def give_up(self, write: Accepted, *, error: str) -> None:
        with self._writing() as database:
            database.execute(_GIVE_UP, (error, *_own(write)))

    def dead(self, user_id: str | None, *, limit: int) -> list[DeadWrite]:
        rows = self._database().execute(_DEAD, {"user_id": user_id, "limit": limit})
        return [DeadWrite(_accepted(row), row[-1]) for row in rows.fetchall()]

    def replay(self, user_id: str | None, *, id: UUID | None) -> int:
        named = {"user_id": user_id, "id": None if id is None else str(id)}
        with self._writing() as database:
            return database.execute(_REPLAY, named).rowcount

    def forget(self, user_id: str, *, agent_id: str | None, run_id: str | None, before: UUID | None) -> int:
        scope = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}
        with self._writing() as database:
            count = database.execute(_FORGET, scope | {"before": None if before is None else str(before)}).rowcount
        if count and before is None:
            self._leave_no_trace()
        return count

    def overtake(self, write: Accepted) -> int:
        with self._writing() as database:
            return database.execute(_OVERTAKE, (write.user_id, write.arguments["id"], str(write.id))).rowcount

    def forget_person(self, user_id: str) -> int:
        with self._writing() as database:
            count = database.execute("DELETE FROM accepted WHERE user_id = ?", (user_id,)).rowcount
        self._leave_no_trace()
        return count

    def close(self) -> None:
        for connection in (self._open, self._lock):
            if connection is not None:
                connection.close()
        self._open = self._lock = None

    def _leave_no_trace(self) -> None:
        """What was deleted still stands in the log beside the file until that is emptied."""
        self._database().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        database = self._database()
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _database(self) -> sqlite3.Connection:
        if self._open is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open = _opened(self._path)
            except sqlite3.OperationalError as error:
                raise JournalBusyError(f"the journal cannot be opened ({error.sqlite_errorname})") from None
            except sqlite3.DatabaseError:
                self._open = self._begun_anew()
        return self._open

    def _begun_anew(self) -> sqlite3.Connection:
        """A file that is no journal any more is kept beside the new one, and what can still be read of it is taken."""
        torn = self._path.with_name(f"{self._path.name}.torn-{int(self._clock() * 1000)}")
        self._path.rename(torn)
        for ending in ("-wal", "-shm"):
            beside = self._path.with_name(self._path.name + ending)
            if beside.exists():
                beside.rename(torn.with_name(torn.name + ending))
        database = _opened(self._path)
        rows = _readable(torn)
        with closing(database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany(_PUT, rows)
            cursor.execute("COMMIT")
        logger.error(
            "memory: the journal of accepted writes was torn; %d could be read, the rest is in %s", len(rows), torn.name
        )
        return database

    def _is_ours(self) -> bool:
        """Whether this program works the file off from now on: it is the first one, or the one before has ended."""
        if self._lock is not None:
            return True
        beside = self._path.with_name(f"{self._path.name}.lock")
        _make(beside)
        lock = sqlite3.connect(beside, timeout=0.0, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            lock.close()
            return False
        self._lock = lock
        with self._writing() as database:  # whoever had these in its hands is gone
            database.execute("UPDATE accepted SET due_at = 0 WHERE state = 'waiting'")
        return True


def _opened(path: Path) -> sqlite3.Connection:
    _make(path)
    # The thread that calls may be another one each time, but never two at once.
    database = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        for setting in _SETTINGS:
            database.execute(f"PRAGMA {setting}")
        if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the file is damaged")
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _make(path: Path) -> None:
    """Nobody else may read what somebody said. One that is there is not even opened: to close it again would drop the
    locks that this process has on it.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _readable(torn: Path) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    try:
        _fill_up(torn)
        with closing(sqlite3.connect(torn, timeout=_PATIENCE_S, isolation_level=None)) as database:
            for row in database.execute(_ALL):
                _accepted(row)
                rows.append(row)
    except (sqlite3.DatabaseError, struct.error, ValueError, TypeError):
        pass  # as far as it goes
    return rows


def _fill_up(torn: Path) -> None:
    """SQLite reads nothing of a file that is shorter than its head says."""
    with torn.open("r+b") as file:
        head = file.read(_HEAD.size)
        magic, page, pages = _HEAD.unpack(head)
        if magic == _MAGIC:
            file.truncate(max(file.seek(0, os.SEEK_END), (65536 if page == 1 else page) * pages))


def _number(database: sqlite3.Connection, query: str) -> int:
    return int(database.execute(query).fetchone()[0])


def _own(write: Accepted) -> tuple[str, int]:
    return str(write.id), write.attempts


def _row(write: Accepted) -> tuple[Any, ...]:
    arguments = json.dumps(write.arguments, ensure_ascii=False)
    return str(write.id), write.operation, write.user_id, arguments, write.accepted_at.isoformat(), 0, "waiting", None


def _accepted(row: Sequence[Any]) -> Accepted:
    id, operation, user_id, arguments, accepted_at, attempts = row[:6]
    return Accepted(UUID(id), operation, user_id, json.loads(arguments), datetime.fromisoformat(accepted_at), attempts)

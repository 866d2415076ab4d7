"""The log of what was recalled in a small file of ours, for memories that are kept where we may write nothing down."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from pathlib import Path
from uuid import UUID

from ..own_file import OwnFile, OwnFileError, OwnThread
from .retention import Trace
from .uses import Recalls, TracesAwayError, Use, used

_SCHEMA = """
CREATE TABLE IF NOT EXISTS use (
    user_id     TEXT NOT NULL,
    memory_id   TEXT NOT NULL,
    recalled_at TEXT,
    recalls     INTEGER NOT NULL,
    quality     REAL,
    used_at     TEXT,
    PRIMARY KEY (user_id, memory_id)
) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO use VALUES (?, ?, ?, ?, ?, ?)"
_READ = "SELECT memory_id, recalled_at, recalls, quality, used_at FROM use WHERE user_id = ?"


class UseFile:
    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path, _SCHEMA)
        self._thread = OwnThread("memory-uses")

    async def note(self, user_id: str, recalls: Recalls) -> None:
        try:
            await self._thread.run(lambda: self._note(user_id, recalls))
        except OwnFileError as error:
            raise TracesAwayError(type(error).__name__) from None

    async def read(self, user_id: str) -> Mapping[UUID, Use]:
        return await self._thread.run(lambda: self._read(user_id))

    async def drop(self, user_id: str, ids: Set[UUID]) -> None:
        gone = [(user_id, str(id)) for id in ids]
        await self._thread.run(lambda: self._delete("DELETE FROM use WHERE user_id = ? AND memory_id = ?", gone))

    async def forget(self, user_id: str) -> None:
        await self._thread.run(lambda: self._delete("DELETE FROM use WHERE user_id = ?", [(user_id,)]))
        await self._thread.run(self._file.leave_no_trace)

    async def close(self) -> None:
        await self._thread.end(self._file.close)

    def _note(self, user_id: str, recalls: Recalls) -> None:
        with self._file.writing() as database:
            for id, some in recalls.items():
                found = database.execute(f"{_READ} AND memory_id = ?", (user_id, str(id))).fetchone()
                known = Use() if found is None else _use(found)
                use = used(known, some)
                trace = use.trace
                times = _text(trace.last_recalled_at), trace.recall_count, trace.quality_ema, _text(use.used_at)
                database.execute(_PUT, (user_id, str(id), *times))

    def _read(self, user_id: str) -> dict[UUID, Use]:
        with self._file.reading() as database:
            rows = database.execute(_READ, (user_id,)).fetchall()
        return {UUID(row[0]): _use(row) for row in rows}

    def _delete(self, statement: str, whom: Sequence[tuple[str, ...]]) -> None:
        with self._file.writing() as database:
            database.executemany(statement, whom)


def _use(row: tuple[str, str | None, int, float | None, str | None]) -> Use:
    _, recalled_at, recalls, quality, used_at = row
    return Use(Trace(_moment(recalled_at), recalls, quality), _moment(used_at))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)

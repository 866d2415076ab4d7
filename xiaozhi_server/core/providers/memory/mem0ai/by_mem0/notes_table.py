"""The history of memories, and the keys of what was added, in an SQLite file. All of it blocks: for a thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from ..own_file import OwnFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS history (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id     TEXT NOT NULL,
    memory_id   TEXT NOT NULL,
    event       TEXT NOT NULL,
    old_text    TEXT,
    new_text    TEXT,
    role        TEXT NOT NULL,
    speaker     TEXT,
    created_at  TEXT NOT NULL,
    happened_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS history_memory ON history (memory_id, seq);
CREATE INDEX IF NOT EXISTS history_owner ON history (user_id);
CREATE TABLE IF NOT EXISTS done (
    user_id TEXT NOT NULL,
    key     TEXT NOT NULL,
    done_at TEXT NOT NULL,
    PRIMARY KEY (user_id, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS done_at ON done (done_at);
"""
_KEPT = timedelta(days=30)  # longer than any write is tried again


@dataclass(frozen=True, slots=True)
class NotedChange:
    """One line of a history."""

    user_id: str
    memory_id: UUID
    event: str
    old_text: str | None
    new_text: str | None
    role: str
    speaker: str | None
    created_at: datetime
    happened_at: datetime


class NotesFile(OwnFile):
    """For one thread at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA)

    def put(self, changes: Sequence[NotedChange], keys: Sequence[tuple[str, str]]) -> None:
        """All in one transaction: on the disk when it returns."""
        now = datetime.now(UTC).isoformat()
        with self.writing() as database:
            database.executemany(
                "INSERT INTO history"
                " (user_id, memory_id, event, old_text, new_text, role, speaker, created_at, happened_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                map(_row, changes),
            )
            if keys:
                database.executemany("INSERT OR IGNORE INTO done VALUES (?, ?, ?)", [(*key, now) for key in keys])
                database.execute("DELETE FROM done WHERE done_at < ?", ((datetime.now(UTC) - _KEPT).isoformat(),))

    def is_done(self, user_id: str, key: str) -> bool:
        with self.reading() as database:
            found = database.execute("SELECT 1 FROM done WHERE user_id = ? AND key = ?", (user_id, key)).fetchone()
        return found is not None

    def changes_of(self, user_id: str, id: UUID) -> list[Mapping[str, Any]]:
        with self.reading() as database:
            rows = database.execute(
                "SELECT event, old_text, new_text, role, speaker, created_at, happened_at FROM history"
                " WHERE memory_id = ? AND user_id = ? ORDER BY seq",
                (str(id), user_id),
            ).fetchall()
        names = ("event", "old_text", "new_text", "role", "speaker", "created_at", "happened_at")
        return [_with_times(dict(zip(names, row, strict=True))) for row in rows]

    def owner(self, id: UUID) -> str | None:
        with self.reading() as database:
            row = database.execute("SELECT user_id FROM history WHERE memory_id = ? LIMIT 1", (str(id),)).fetchone()
        return None if row is None else str(row[0])

    def forget(self, user_id: str) -> None:
        with self.writing() as database:
            database.execute("DELETE FROM history WHERE user_id = ?", (user_id,))
            database.execute("DELETE FROM done WHERE user_id = ?", (user_id,))
        self.leave_no_trace()


def _row(change: NotedChange) -> tuple[Any, ...]:
    times = change.created_at.isoformat(), change.happened_at.isoformat()
    texts = change.old_text, change.new_text, change.role, change.speaker
    return change.user_id, str(change.memory_id), change.event, *texts, *times


def _with_times(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **{name: datetime.fromisoformat(row[name]) for name in ("created_at", "happened_at")}}

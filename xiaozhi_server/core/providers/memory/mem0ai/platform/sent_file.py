"""What is on its way to the platform, in a file of our own: a write that is done again is not sent again."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..own_file import OwnFile, OwnThread

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent (
    user_id  TEXT NOT NULL,
    key      TEXT NOT NULL,
    send_id  TEXT NOT NULL,
    event_id TEXT NOT NULL DEFAULT '',
    begun_at TEXT NOT NULL,
    PRIMARY KEY (user_id, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sent_begun ON sent (begun_at);
"""
_KEPT = timedelta(days=30)  # longer than any write is tried again


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was about to leave; an empty `event_id`: nobody knows whether it arrived."""

    send_id: str
    event_id: str
    begun_at: datetime

    @property
    def age_s(self) -> float:
        return (datetime.now(UTC) - self.begun_at).total_seconds()


class SentFile:
    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path, _SCHEMA)
        self._thread = OwnThread("memory-sent")

    async def find(self, user_id: str, key: str) -> Sent | None:
        return await self._thread.run(lambda: self._find(user_id, key))

    async def begin(self, user_id: str, key: str, send_id: str) -> None:
        """On the disk before anything is sent."""
        await self._thread.run(lambda: self._begin(user_id, key, send_id))

    async def accepted(self, user_id: str, key: str, event_id: str) -> None:
        await self._thread.run(
            lambda: self._change("UPDATE sent SET event_id = ? WHERE user_id = ? AND key = ?", event_id, user_id, key)
        )

    async def unsent(self, user_id: str, key: str) -> None:
        """It is certain that nothing came of it."""
        await self._thread.run(lambda: self._change("DELETE FROM sent WHERE user_id = ? AND key = ?", user_id, key))

    async def close(self) -> None:
        await self._thread.end(self._file.close)

    def _find(self, user_id: str, key: str) -> Sent | None:
        with self._file.reading() as database:
            row = database.execute(
                "SELECT send_id, event_id, begun_at FROM sent WHERE user_id = ? AND key = ?", (user_id, key)
            ).fetchone()
        return None if row is None else Sent(row[0], row[1], datetime.fromisoformat(row[2]))

    def _begin(self, user_id: str, key: str, send_id: str) -> None:
        now = datetime.now(UTC)
        with self._file.writing() as database:
            database.execute("DELETE FROM sent WHERE begun_at < ?", ((now - _KEPT).isoformat(),))
            database.execute(
                "INSERT OR REPLACE INTO sent (user_id, key, send_id, begun_at) VALUES (?, ?, ?, ?)",
                (user_id, key, send_id, now.isoformat()),
            )

    def _change(self, statement: str, *values: str) -> None:
        with self._file.writing() as database:
            database.execute(statement, values)

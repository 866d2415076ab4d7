"""Runs numbered plain SQL files once each and remembers which. Knows no schema: server and memory package share it."""

import hashlib
import logging
import re
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus

logger = logging.getLogger(__name__)

_FILE_NAME = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.sql")
_LOCK_TIMEOUT_S = 60


class MigrationError(Exception):
    """The folder and the database do not fit together."""


@dataclass(frozen=True, slots=True)
class _Migration:
    name: str
    statements: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.statements).hexdigest()


async def apply_migrations(connection: AsyncConnection[Any], folder: Path | Traversable, *, ledger: str) -> list[str]:
    """Bring the database up to date, each file in a transaction of its own; the names of those that were new.

    `ledger` is the table that remembers. Several programs may call this at once: one works, the others wait.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise MigrationError("migrations need a connection that is not inside a transaction")
    migrations = _read(folder)
    applied = await _applied(connection, ledger)
    _compare(migrations, applied, ledger)
    return [m.name for m in migrations if m.name not in applied and await _apply(connection, m, ledger)]


def _read(folder: Path | Traversable) -> list[_Migration]:
    found: dict[str, _Migration] = {}
    for entry in folder.iterdir():
        match = _FILE_NAME.fullmatch(entry.name)
        if match is None:
            continue
        if match["number"] in found:
            raise MigrationError(f"{entry.name} and {found[match['number']].name} have the same number")
        # A checkout may turn line ends; that is no change of the migration.
        found[match["number"]] = _Migration(entry.name, entry.read_bytes().replace(b"\r\n", b"\n"))
    return [found[number] for number in sorted(found)]


async def _applied(connection: AsyncConnection[Any], ledger: str) -> dict[str, str]:
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (sql.Identifier(ledger).as_string(connection),))
        row = await cursor.fetchone()
        if row is None or not _first(row):
            return {}
        await cursor.execute(sql.SQL("SELECT json_object_agg(name, checksum) FROM {}").format(sql.Identifier(ledger)))
        row = await cursor.fetchone()
        return (_first(row) if row else None) or {}


def _first(row: Any) -> Any:
    """The only column, whatever row factory the caller's connection has."""
    return next(iter(row.values())) if isinstance(row, dict) else row[0]


def _compare(migrations: list[_Migration], applied: dict[str, str], ledger: str) -> None:
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it had been applied (see table {ledger}): "
                "restore the file and put the change into a new one"
            )
    unknown = sorted(applied.keys() - {migration.name for migration in migrations})
    if unknown:
        logger.warning("the database is newer than this program: it has %s", ", ".join(unknown))


async def _apply(connection: AsyncConnection[Any], migration: _Migration, ledger: str) -> bool:
    async with connection.transaction():
        # A migration may take its time, but waiting for another one that hangs must end.
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_TIMEOUT_S}s"))
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (ledger,))
        if not await _enter(connection, migration, ledger):
            return False
        await connection.execute(migration.statements)
    logger.info("applied migration %s", migration.name)
    return True


async def _enter(connection: AsyncConnection[Any], migration: _Migration, ledger: str) -> bool:
    """Write the migration into the ledger; False if somebody was quicker while we waited for the lock."""
    table = sql.Identifier(ledger)
    await connection.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        ).format(table)
    )
    cursor = await connection.execute(
        sql.SQL("INSERT INTO {} (name, checksum) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING").format(table),
        (migration.name, migration.checksum),
    )
    return cursor.rowcount == 1

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from xiaozhi_server.core.providers.memory.migrate import MigrationError, apply_migrations

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def connection(database_dsn: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(database_dsn) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "0001_first.sql", "CREATE TABLE a (n int); INSERT INTO a VALUES (1);")
    write(tmp_path, "0002_second.sql", "INSERT INTO a VALUES (2);")
    write(tmp_path, "notes.txt", "not a migration")
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode())


async def numbers(connection: Connection) -> list[int]:
    cursor = await connection.execute("SELECT n FROM a ORDER BY n")
    return [row[0] for row in await cursor.fetchall()]


async def test_runs_each_file_once_and_in_order(connection: Connection, folder: Path) -> None:
    assert await apply_migrations(connection, folder, ledger="ledger") == ["0001_first.sql", "0002_second.sql"]
    assert await apply_migrations(connection, folder, ledger="ledger") == []
    write(folder, "0003_third.sql", "INSERT INTO a VALUES (3);")
    assert await apply_migrations(connection, folder, ledger="ledger") == ["0003_third.sql"]
    assert await numbers(connection) == [1, 2, 3]


async def test_two_ledgers_live_in_one_database(connection: Connection, folder: Path, tmp_path: Path) -> None:
    await apply_migrations(connection, folder, ledger="ours")
    other = tmp_path / "other"
    other.mkdir()
    write(other, "0001_first.sql", "CREATE TABLE b (n int);")
    assert await apply_migrations(connection, other, ledger="theirs") == ["0001_first.sql"]


async def test_a_changed_file_is_an_error(connection: Connection, folder: Path) -> None:
    await apply_migrations(connection, folder, ledger="ledger")
    write(folder, "0002_second.sql", "INSERT INTO a VALUES (5);")
    with pytest.raises(MigrationError, match=r"0002_second\.sql was changed"):
        await apply_migrations(connection, folder, ledger="ledger")
    await connection.rollback()
    assert await numbers(connection) == [1, 2]


async def test_other_line_ends_are_no_change(connection: Connection, folder: Path) -> None:
    write(folder, "0003_lines.sql", "SELECT 1;\nSELECT 2;\n")
    await apply_migrations(connection, folder, ledger="ledger")
    write(folder, "0003_lines.sql", "SELECT 1;\r\nSELECT 2;\r\n")
    assert await apply_migrations(connection, folder, ledger="ledger") == []


async def test_a_file_that_fails_leaves_nothing_behind(connection: Connection, folder: Path) -> None:
    write(folder, "0003_broken.sql", "INSERT INTO a VALUES (3); SELECT nonsense;")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        await apply_migrations(connection, folder, ledger="ledger")
    assert await numbers(connection) == [1, 2]
    await connection.rollback()
    write(folder, "0003_broken.sql", "INSERT INTO a VALUES (3);")
    assert await apply_migrations(connection, folder, ledger="ledger") == ["0003_broken.sql"]


async def test_the_same_number_twice_is_an_error(connection: Connection, folder: Path) -> None:
    write(folder, "0002_rival.sql", "SELECT 1;")
    with pytest.raises(MigrationError, match="same number"):
        await apply_migrations(connection, folder, ledger="ledger")


async def test_a_transaction_in_progress_is_refused(connection: Connection, folder: Path) -> None:
    await connection.execute("SELECT 1")
    with pytest.raises(MigrationError, match="inside a transaction"):
        await apply_migrations(connection, folder, ledger="ledger")


async def test_many_at_once_apply_each_file_once(connection: Connection, folder: Path, database_dsn: str) -> None:
    async def one() -> list[str]:
        async with await psycopg.AsyncConnection.connect(database_dsn, autocommit=True) as own:
            return await apply_migrations(own, folder, ledger="ledger")

    applied = await asyncio.gather(*(one() for _ in range(6)))
    assert sorted(name for names in applied for name in names) == ["0001_first.sql", "0002_second.sql"]
    assert await numbers(connection) == [1, 2]


async def test_rows_may_come_as_dictionaries(database_dsn: str, folder: Path) -> None:
    row_factory = psycopg.rows.dict_row
    async with await psycopg.AsyncConnection.connect(database_dsn, row_factory=row_factory) as connection:
        assert len(await apply_migrations(connection, folder, ledger="ledger")) == 2
        assert await apply_migrations(connection, folder, ledger="ledger") == []

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres_proxy import PostgresProxy
from xiaozhi_server.store.database import Database, DatabaseError, DatabaseOptions


async def test_opens_with_the_schema_in_place_and_opens_again(database_dsn: str) -> None:
    for _ in range(2):
        database = await Database.open(database_dsn)
        assert await database.ping() > 0
        async with database.transaction(1) as connection:
            cursor = await connection.execute("SELECT count(*) FROM session, message, turn_trace, account, person")
            assert await cursor.fetchone() == (0,)
        await database.close()


async def test_waits_for_a_database_that_is_down(database_dsn: str, tmp_path: Path) -> None:
    proxy = PostgresProxy(database_dsn, tmp_path)
    told: list[str] = []
    said = asyncio.Event()

    def on_progress(line: str) -> None:
        told.append(line)
        said.set()

    opening = asyncio.create_task(Database.open(proxy.dsn, start_timeout_s=20, on_progress=on_progress))
    await asyncio.wait_for(said.wait(), 5)
    async with proxy:
        database = await opening
        await database.ping()
        await database.close()
    assert told[0].startswith("waiting for the database (0 of 20 s)")


async def test_gives_up_after_the_limit(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no database after"):
        await Database.open(f"host={tmp_path} user=x dbname=x", start_timeout_s=0.2)


async def test_an_unknown_database_is_not_waited_for(database_dsn: str) -> None:
    dsn = psycopg.conninfo.make_conninfo(database_dsn, dbname="nowhere")
    with pytest.raises(DatabaseError, match="refuses us"):
        await asyncio.wait_for(Database.open(dsn), 5)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres//me:s3cret@host/name",
        "postgresql://me:s3cret/more@host/name",
        "postgresql://me:one@s3cret@host/name",
        "postgresql://me:s3cret word@host/name",
    ],
)
async def test_a_mistyped_address_keeps_its_password_to_itself(dsn: str) -> None:
    with pytest.raises(DatabaseError, match="is not a PostgreSQL address") as caught:
        await Database.open(dsn)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("wrong", ["sslmode=bogus", "port=99999"])
async def test_a_setting_that_the_driver_refuses_is_not_waited_for(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(DatabaseError, match=r"refuses us: .*invalid"):
        await asyncio.wait_for(Database.open(f"host={tmp_path} user=x dbname=x {wrong}"), 5)


async def test_the_first_question_finds_a_connection_that_is_made(database_dsn: str) -> None:
    database = await Database.open(database_dsn, options=DatabaseOptions(pool_min=3))
    assert database.pool.get_stats()["pool_available"] == 3
    await database.close()


async def test_a_statement_is_ended_by_postgres(database_dsn: str) -> None:
    database = await Database.open(database_dsn, options=DatabaseOptions(statement_timeout_s=0.05))
    with pytest.raises(psycopg.errors.QueryCanceled):
        async with database.transaction(5) as connection:
            await connection.execute("SELECT pg_sleep(5)")
    await database.close()


async def test_a_frozen_database_does_not_hold_us(database_dsn: str, tmp_path: Path) -> None:
    async with PostgresProxy(database_dsn, tmp_path) as proxy:
        database = await Database.open(proxy.dsn)
        await database.ping()
        await proxy.fail("frozen")
        async with asyncio.timeout(5):
            with pytest.raises(psycopg.OperationalError):
                await database.ping(0.2)
        await proxy.heal()
        await database.ping()
        await database.close()


async def test_the_first_question_after_a_restart_is_answered(database_dsn: str, tmp_path: Path) -> None:
    async with PostgresProxy(database_dsn, tmp_path) as proxy:
        database = await Database.open(proxy.dsn)
        await database.ping()
        await proxy.fail("stopped")
        with pytest.raises(psycopg.OperationalError):
            await database.ping(0.2)
        await proxy.heal()
        await database.ping()
        await database.close()

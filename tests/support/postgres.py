"""Fixtures with a real PostgreSQL: one embedded server for the whole run, an empty database for each test."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from xiaozhi_server.store.embedded import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """`admin` is a session as superuser, which makes and drops databases. `dsn` opens the server's own database."""

    dsn: str
    admin: psycopg.Connection[Any]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def create_database(self) -> str:
        """A fresh database (with pgvector) that belongs to the server's role; its connection string."""
        name = f"test_{next(self.numbers)}"
        self.admin.execute(sql.SQL("CREATE DATABASE {} OWNER xiaozhi").format(sql.Identifier(name)))
        return make_conninfo(self.dsn, dbname=name)

    def drop_database(self, dsn: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        self.admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    data_dir: Path = tmp_path_factory.mktemp("postgres")
    embedded = EmbeddedPostgres(data_dir)
    # A loop of its own: those of the tests come and go. It only has to run at both ends.
    with asyncio.Runner() as runner:
        dsn = runner.run(embedded.start())
        with psycopg.connect(embedded.superuser_dsn, autocommit=True) as admin:
            yield PostgresServer(dsn, admin)
        runner.run(embedded.stop())


@pytest.fixture
def database_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    dsn = postgres_server.create_database()
    yield dsn
    postgres_server.drop_database(dsn)

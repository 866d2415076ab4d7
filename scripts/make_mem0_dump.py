"""Makes the tables of mem0's that the tests of `memory adopt` begin with (tests/integration/memory/adoption/*.sql):

    python scripts/make_mem0_dump.py /path/to/python tests/integration/memory/adoption/mem0_1_0_11.sql

The other Python is one where the version of mem0 in question is installed, with psycopg[binary,pool]. It writes into an
embedded PostgreSQL, with the stand-in cloud for its embedder. Needed again only when the tables shall hold more.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

from firmware_sim.cloud import StandInCloud  # noqa: E402
from xiaozhi_server.store.embedded import EmbeddedPostgres  # noqa: E402

WRITER = PROJECT / "tests/integration/memory/adoption/written_by_mem0.py"
COLLECTION = "mem0"
DIMENSIONS = 1536


async def write_with(python: str, dsn: str, folder: Path) -> None:
    async with StandInCloud(dimensions=DIMENSIONS) as cloud:
        process = await asyncio.create_subprocess_exec(
            python, str(WRITER), dsn, cloud.base_url, COLLECTION, str(folder / "history.db"),
            env={"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder), "HOME": str(folder)},
        )  # fmt: skip
        if await process.wait():
            raise SystemExit("mem0 did not do it")


async def version_of_mem0(python: str) -> str:
    process = await asyncio.create_subprocess_exec(
        python, "-c", "from importlib.metadata import version; print(version('mem0ai'))", stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    return told.decode().strip()


def dumped(connection: psycopg.Connection[tuple[str, ...]], version: str) -> Iterator[str]:
    yield f"-- Written by mem0ai {version} itself, through scripts/make_mem0_dump.py; vectors in their sparse form.\n"
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE %s ORDER BY relname", (f"{COLLECTION}%",)
    )
    for (table,) in tables.fetchall():
        name = sql.Identifier(table)
        yield f"CREATE TABLE {table} (id uuid PRIMARY KEY, vector vector({DIMENSIONS}), payload jsonb);\n"
        rows = connection.execute(
            sql.SQL(
                "SELECT quote_literal(id::text),"
                " coalesce(quote_literal(vector::sparsevec::text) || '::sparsevec', 'NULL'),"
                " coalesce(quote_literal(payload::text), 'NULL') FROM {} ORDER BY id"
            ).format(name)
        )
        for id, vector, payload in rows.fetchall():
            yield f"INSERT INTO {table} VALUES ({id}, {vector}, {payload});\n"  # noqa: S608 - quoted by PostgreSQL


async def main(python: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedPostgres(Path(folder) / "postgres")
        dsn = await embedded.start()
        try:
            await write_with(python, dsn, Path(folder))
            version = await version_of_mem0(python)
            with psycopg.connect(dsn) as connection:
                return "".join(dumped(connection, version))
        finally:
            await embedded.stop()


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(asyncio.run(main(sys.argv[1])), encoding="utf-8")

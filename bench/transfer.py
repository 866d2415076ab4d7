"""`python -m bench.transfer`: memories that go to a file and come back, and a person who is forgotten while they talk.

The embedder is left out: every vector is made up. Each database is an embedded PostgreSQL on this machine, which shares
the processors with the rest. `wanted` is what was promised.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.memory_speed import Figure, at_least, at_most, table
from bench.processes import Watch
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import tokens_of
from xiaozhi_server.core.providers.memory.mem0ai.records import NewMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows import pgstore
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import row_of
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope
from xiaozhi_server.core.providers.memory.mem0ai.transfer.scan import scan_objects, scan_tables
from xiaozhi_server.store.embedded import EmbeddedPostgres

Pool = AsyncConnectionPool[AsyncConnection[Any]]

_OWNED = 1000  # memories of each owner
_COPIED = 2000
_FIRST_DAY = datetime(2026, 1, 1, 8, tzinfo=UTC)
_PLANTED = "Zanzibarium"
_TALKERS = 4
_TALK_S = 3.0
# Everything that there is of memories and their changes, as one number.
_CHECKSUM = """
SELECT (SELECT count(*) FROM memory_entry),
       (SELECT md5(string_agg(md5(entry::text), '' ORDER BY user_id, id)) FROM memory_entry AS entry)
"""


class MadeUp:
    """Vectors that have nothing to do with anything."""

    name = "made up"
    dimensions = 384
    multilingual = True

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.concatenate([_vectors(text, 1) for text in texts])

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def installation(folder: Path, executor: ThreadPoolExecutor) -> AsyncIterator[tuple[Pool, MemoryEngine]]:
    postgres = EmbeddedPostgres(folder)
    async with AsyncConnectionPool(await postgres.start(), min_size=8, max_size=8, open=False) as pool:
        engine = MemoryEngine(pool, MadeUp(), executor)
        await engine.start()
        yield pool, engine
        await engine.stop(5.0)
    await postgres.stop()


async def fill(pool: Pool, user_id: str, count: int, text: str) -> None:
    async with pool.connection() as connection, connection.transaction():
        number = await pgstore.embedder_number(connection, MadeUp())
        for begin in range(0, count, _COPIED):
            places = range(begin, min(begin + _COPIED, count))
            vectors = _vectors(f"{user_id} {begin}", len(places))
            rows = [_memory(user_id, place, text, vector) for place, vector in zip(places, vectors, strict=True)]
            await pgstore.insert(connection, rows, number)


async def out_and_in(folder: Path, executor: ThreadPoolExecutor, count: int) -> list[Figure]:
    file = folder / "memories.ndjson"
    async with installation(folder / "one", executor) as (pool, engine):
        for owner in range(count // _OWNED):
            await fill(pool, f"person-{owner:05}", _OWNED, "On Monday we walked around the lake")
        before = await checksum(pool)
        exporting = await export(engine, file, before[0])
    async with installation(folder / "other", executor) as (pool, engine):
        importing = await read_twice(pool, engine, file, before)
    return exporting + importing


async def export(engine: MemoryEngine, file: Path, count: int) -> list[Figure]:
    case = "export"
    size = 0
    gc.collect()
    with Watch(os.getpid()) as usage:
        began_at = time.perf_counter()
        with file.open("wb") as target:
            async for lines in engine.exported(vectors=True):
                size += target.write(lines)
        took_s = time.perf_counter() - began_at
    grown_mb = (max(usage.rss_most_kib, usage.rss_before_kib) - usage.rss_before_kib) / 1024
    return [
        Figure(case, "memories", count, ""),
        Figure(case, "with vectors, in all", took_s, "s"),
        Figure(case, "size of the file", size / 1e6, "MB"),
        at_most(case, "memory of the process grows by", grown_mb, "MB", 30),
    ]


async def read_twice(pool: Pool, engine: MemoryEngine, file: Path, before: tuple[int, str]) -> list[Figure]:
    case, figures = "import", []
    for time_ in ("the first time", "the second time"):
        began_at = time.perf_counter()
        with file.open("rb") as source:
            done = await engine.imported(source)
        took_s = time.perf_counter() - began_at
        after = await checksum(pool)
        figures += [
            Figure(case, f"{time_}, in all", took_s, "s"),
            at_most(case, f"{time_}, lines not taken", done.refused, "", 0),
            at_most(case, f"{time_}, differs from what was exported", float(after != before), "", 0),
        ]
    return [*figures, at_most(case, "the second time, rows changed", done.changes, "", 0)]


async def forget(folder: Path, executor: ThreadPoolExecutor, count: int) -> list[Figure]:
    """Their device talks by several connections; what it says holds the planted word until they are to be forgotten."""
    case = "forget"
    async with installation(folder / "talking", executor) as (pool, engine):
        await fill(pool, "person-7", count, f"We were in {_PLANTED}")
        await fill(pool, "person-8", _OWNED, "On Monday we walked around the lake")
        words = [_PLANTED]
        ends_at = time.monotonic() + _TALK_S
        talking = [asyncio.create_task(talk(engine, words, ends_at)) for _ in range(_TALKERS)]
        await asyncio.sleep(_TALK_S / 2)
        words[:] = ["home"]
        began_at = time.perf_counter()
        removed = await engine.forget_person(user_id="person-7")
        took_s = time.perf_counter() - began_at
        said = sum(await asyncio.gather(*talking))
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - what the worker has saved is told to nobody
            await asyncio.sleep(0.05)
        async with pool.connection() as connection:
            places = await scan_tables(connection, [_PLANTED])
            cursor = await connection.execute("SELECT count(*) FROM memory_entry WHERE user_id = 'person-8'")
            others = await cursor.fetchone()
        kept = scan_objects(engine, [_PLANTED])
    return [
        at_least(case, "memories of the person", removed["memory_entry"], "", count),
        Figure(case, "exchanges said meanwhile", said, ""),
        Figure(case, "takes", took_s, "s"),
        at_most(case, "places in tables with a planted word afterwards", len(places), "", 0),
        at_most(case, "places in the process with a planted word afterwards", len(kept), "", 0),
        at_least(case, "memories of somebody else afterwards", float(others[0] if others else 0), "", _OWNED),
    ]


async def talk(engine: MemoryEngine, words: Sequence[str], ends_at: float) -> int:
    said = 0
    while time.monotonic() < ends_at:
        message = SpokenMessage("user", f"Tell me about {words[0]} {said}.", datetime.now(UTC))
        await engine.enqueue([message], user_id="person-7", agent_id="agent")
        await engine.search(f"Where is {words[0]}?", user_id="person-7")
        said += 1
        await asyncio.sleep(0.01)
    return said


async def checksum(pool: Pool) -> tuple[int, str]:
    async with pool.connection() as connection:
        row = await (await connection.execute(_CHECKSUM.encode())).fetchone()
    assert row is not None
    return row[0], row[1]


def _memory(user_id: str, place: int, text: str, vector: Vectors) -> NewMemory:
    said_at = _FIRST_DAY + timedelta(minutes=place)
    message = SpokenMessage("user", f"{text}, and it was number {place}.", said_at)
    id = uuid.uuid5(uuid.NAMESPACE_OID, f"{user_id} {place}")
    memory = row_of(message, Scope(user_id, "agent"), f"session {place // 20}", id, 0, {"number": place})
    return NewMemory(memory, tokens_of(memory.text), vector)


def _vectors(seed: str, count: int) -> Vectors:
    dice = np.random.default_rng(zlib.crc32(seed.encode()))
    vectors = dice.standard_normal((count, MadeUp.dimensions), np.float32)
    units: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


async def run(count: int, person: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        figures = await out_and_in(Path(folder), executor, count)
        return figures + await forget(Path(folder), executor, person)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.transfer", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="everything much smaller: whether it runs, not how fast")
    options = parser.parse_args()
    figures = asyncio.run(run(4000, 500) if options.quick else run(100_000, 10_000))
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

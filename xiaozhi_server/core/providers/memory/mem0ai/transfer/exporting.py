"""Writes down what is remembered, line by line, as of one moment. However much it is, little of it is held at once."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from ..statements import statement
from .items import KINDS
from .ours import FORMAT, VERSION, Model, vector_text, written

_ROWS = 500  # that are fetched at a time
# Whoever reads the lines may take his time.
_BEGIN = """
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0
"""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Whose memories; None for everybody's. `embedder` and its number are those whose vectors may come along."""

    user_id: str | None
    embedder: Model
    embedder_number: int
    has_vectors: bool = False


async def exported(
    connection: AsyncConnection[Any], options: ExportOptions, progress: Callable[[int, int], None]
) -> AsyncGenerator[bytes]:
    """A few lines at a time, in an order that only depends on what there is. Tells how many of how many are done."""
    done = 0
    async with connection.transaction():
        await connection.execute(_BEGIN)
        counts = await counted(connection, options.user_id)
        total = sum(counts.values())
        yield _header(options, counts)
        for kind in KINDS:
            async with aclosing(_pages(connection, kind, options)) as pages:
                async for page in pages:
                    yield b"".join(written(kind, _told(row)) for row in page)
                    done += len(page)
                    progress(done, total)
    yield written("end", {"lines": done})


async def counted(connection: AsyncConnection[Any], user_id: str | None) -> Mapping[str, int]:
    """How many lines of each kind there will be."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("export_count"), {"user_id": user_id})
        (row,) = await cursor.fetchall()
    return row


async def _pages(connection: AsyncConnection[Any], kind: str, options: ExportOptions) -> AsyncGenerator[list[DictRow]]:
    parameters = {
        "user_id": options.user_id,
        "vectors": options.has_vectors,
        "embedder": options.embedder_number,
    }
    async with connection.cursor(name=f"export_{kind}", row_factory=dict_row) as cursor:
        await cursor.execute(statement(f"export_{kind}"), parameters)
        while page := await cursor.fetchmany(_ROWS):
            yield page


def _header(options: ExportOptions, counts: Mapping[str, int]) -> bytes:
    model = {"name": options.embedder.name, "dimensions": options.embedder.dimensions}
    about = {"format": FORMAT, "version": VERSION, "exported_at": datetime.now(UTC), "user_id": options.user_id}
    return written(
        "header", {**about, "embedder": model, "vectors": options.has_vectors, "lines": sum(counts.values())}
    )


def _told(row: DictRow) -> DictRow:
    if row.get("vector") is not None:
        row["vector"] = vector_text(row["vector"])
    return row

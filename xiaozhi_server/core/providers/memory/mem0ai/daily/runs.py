"""What the daily work did, day by day and step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Json

from ..statements import statement

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class StepRun:
    """Without `ended_at` it is under way, was broken off, or failed with `error`; then it is tried again."""

    day: date
    step: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    counts: Mapping[str, int]


async def begin(connection: Connection, day: date, step: str, at: datetime) -> None:
    await connection.execute(statement("run_begin"), {"day": day, "step": step, "at": at})


async def end(connection: Connection, day: date, step: str, at: datetime, counts: Mapping[str, int]) -> None:
    parameters = {"day": day, "step": step, "at": at, "counts": Json(dict(counts)), "error": None}
    await connection.execute(statement("run_end"), parameters)


async def fail(connection: Connection, day: date, step: str, error: str) -> None:
    parameters = {"day": day, "step": step, "at": None, "counts": Json({}), "error": error}
    await connection.execute(statement("run_end"), parameters)


async def done(connection: Connection, day: date) -> set[str]:
    """Which of that day's steps need not be done any more."""
    return {run.step for run in await latest(connection, since=day) if run.day == day and run.ended_at is not None}


async def latest(connection: Connection, *, since: date | None = None) -> list[StepRun]:
    """The steps of the last day that there is, or of all since a day; the oldest first."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("run_list"), {"since": since})
        return [StepRun(**row) for row in await cursor.fetchall()]


async def drop(connection: Connection, *, before: date) -> None:
    await connection.execute(statement("run_drop"), {"before": before})

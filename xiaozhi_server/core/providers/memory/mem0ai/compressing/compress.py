"""Summarises what is old, one group after the other: asked, checked, written in one transaction, or left as it was.

Broken off at any time, the next run goes on with what is left. Two at once do nothing twice: each owner is in one hand.
"""

import logging
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..embedding.measured_floor import MeasuredFloor
from ..finding.changes import close_quietly, connect_like
from ..finding.extent import LIVES
from ..records import NewMemory, StoredMemory
from ..rows import pgstore, summaries
from ..saving.verbatim import VerbatimSaver
from ..statements import composed, statement
from .candidates import Candidates, Week
from .check import RefusedError, checked_summary
from .grouping import GroupLimits, groups_of
from .material import Group
from .request import request

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]

SUBTYPE = "episodic"  # it fades as what it stands for would
SHOWN_MAX = 200
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('memory_compress ' || %s, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('memory_compress ' || %s, 0))"
_FAILURES_MAX = 3  # one after the other: then the model is away
_FLOOR_S = 5.0
_LOCK_STATEMENT = composed("compress_lock", lives=LIVES)


class ModelAwayError(RuntimeError):
    """The model failed again and again: what is left waits for another time."""


class SummaryModel(Protocol):
    """A language model. A SummaryFailedError where it gives no answer."""

    async def answer(self, messages: list[dict[str, str]]) -> str: ...


class SummaryFailedError(RuntimeError):
    """The model could not be asked, or took too long. Never quotes it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a dry run would summarise: one group of texts."""

    user_id: str
    agent_id: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompressResult:
    """`compressed` memories are told by `summaries` now. `refused`: why a summary was not believed, how often.

    `changed` groups were not what they had been once their summary was there; `busy` owners are somebody else's right
    now; `failed` is how often the model gave no answer. In a dry run the first ones of the groups are `planned`.
    """

    summaries: int
    compressed: int
    refused: Mapping[str, int]
    changed: int
    failed: int
    busy: int
    dry_run: bool
    planned: tuple[Planned, ...] = ()


@dataclass(frozen=True, slots=True)
class CompressWatch:
    """Told after each group: how many memories are summarised, and whose have changed. `pause` lets others work."""

    progress: Callable[[int], None] = lambda compressed: None
    changed: Callable[[str], None] = lambda user_id: None
    pause: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class CompressLimits:
    """`calls` bounds how often the model is asked for one owner in one run; None: as often as there is something."""

    groups: GroupLimits = field(default_factory=GroupLimits)
    calls: int | None = None


class Compressor:
    """`saver` gives a summary its words and its vector."""

    def __init__(
        self, pool: Pool, model: SummaryModel | None, saver: VerbatimSaver, floor: MeasuredFloor, limits: CompressLimits
    ) -> None:
        self._pool = pool
        self._model = model
        self._saver = saver
        self._floor = floor
        self._limits = limits

    async def run(self, candidates: Candidates, watch: CompressWatch, *, dry_run: bool) -> CompressResult:
        """ModelAwayError once the model has failed again and again; what was written until then stays."""
        count = _Count()
        self._floor.begin()
        floor = await self._floor.value(_FLOOR_S)
        if dry_run:
            return await self._planned(candidates, floor, count)
        async with _connected(self._pool) as connection:
            async for user_id in candidates.owners():
                async with _alone(connection, user_id) as is_ours:
                    if is_ours:
                        await self._compress(candidates, user_id, floor, count, watch)
                    else:
                        count.busy += 1
        return count.result()

    async def _planned(self, candidates: Candidates, floor: float, count: "_Count") -> CompressResult:
        async for user_id in candidates.owners():
            async for week, group in self._groups(candidates, user_id, floor):
                count.plan(week, group)
        return count.result(dry_run=True)

    async def _compress(
        self, candidates: Candidates, user_id: str, floor: float, count: "_Count", watch: CompressWatch
    ) -> None:
        calls = 0
        async for week, group in self._groups(candidates, user_id, floor):
            if calls == self._limits.calls:
                return
            calls += 1
            if (text := await self._summary(group, count)) is None:
                continue
            if await self._write(week, group, text):
                count.wrote(len(group))
                watch.changed(user_id)
                watch.progress(count.compressed)
            else:
                count.changed += 1
            if watch.pause is not None:
                await watch.pause()

    async def _groups(self, candidates: Candidates, user_id: str, floor: float) -> AsyncIterator[tuple[Week, Group]]:
        """In another order each time: what was refused once does not stand in the way of the rest."""
        limits = self._limits.groups
        weeks = await candidates.weeks(user_id, least=limits.least)
        random.shuffle(weeks)
        for week in weeks:
            async for page in candidates.pages(week):
                for group in groups_of(page, limits, floor=floor):
                    yield week, group

    async def _summary(self, group: Group, count: "_Count") -> str | None:
        assert self._model is not None
        try:
            text = checked_summary(await self._model.answer(request(group)), group)
        except SummaryFailedError as error:
            count.fail()
            logger.warning("memory: no summary of %d memories (%s)", len(group), error)
            if count.failed_in_a_row >= _FAILURES_MAX:
                raise ModelAwayError(f"the model failed {_FAILURES_MAX} times one after the other") from None
            return None
        except RefusedError as error:
            count.refuse(error.why)
            return None
        count.failed_in_a_row = 0
        return text

    async def _write(self, week: Week, group: Group, text: str) -> bool:
        """All of it or nothing: False where one of the group is not what it was."""
        (new,) = await self._saver.found_by([_memory(week, group, text)])
        async with self._pool.connection() as connection, connection.transaction():
            await summaries.lock(connection, week.user_id)
            if not await _is_still(connection, week.user_id, group):
                return False
            await _written(connection, new, group, self._saver.embedder_number)
        return True


class _Count:
    def __init__(self) -> None:
        self.compressed = 0
        self.changed = 0
        self.busy = 0
        self.failed_in_a_row = 0
        self._summaries = 0
        self._failed = 0
        self._refused: Counter[str] = Counter()
        self._planned: list[Planned] = []

    def wrote(self, memories: int) -> None:
        self._summaries += 1
        self.compressed += memories

    def fail(self) -> None:
        self._failed += 1
        self.failed_in_a_row += 1

    def refuse(self, why: str) -> None:
        self._refused[why] += 1
        self.failed_in_a_row = 0

    def plan(self, week: Week, group: Group) -> None:
        self.wrote(len(group))
        if len(self._planned) < SHOWN_MAX:
            texts = tuple(source.text for source in group)
            self._planned.append(Planned(week.user_id, week.agent_id, texts))

    def result(self, *, dry_run: bool = False) -> CompressResult:
        return CompressResult(
            self._summaries,
            self.compressed,
            dict(self._refused),
            self.changed,
            self._failed,
            self.busy,
            dry_run,
            tuple(self._planned),
        )


def _memory(week: Week, group: Group, text: str) -> StoredMemory:
    """Of the time of its newest source: that is when it begins to fade."""
    newest = group[-1]
    sessions, speakers = {one.session_id for one in group}, {one.speaker for one in group if one.role == "user"}
    return StoredMemory(
        id=uuid.uuid4(),
        user_id=week.user_id,
        agent_id=week.agent_id,
        run_id=week.run_id,
        session_id=newest.session_id if len(sessions) == 1 else "",
        role="user" if speakers else "assistant",
        speaker=speakers.pop() if len(speakers) == 1 else None,
        text=text,
        metadata={"summarises": len(group), "from": group[0].day.isoformat(), "to": newest.day.isoformat()},
        created_at=newest.created_at,
        updated_at=newest.created_at,
        subtype=SUBTYPE,
    )


async def _is_still(connection: AsyncConnection[Any], user_id: str, group: Group) -> bool:
    which = {"user_id": user_id, "ids": [source.id for source in group]}
    cursor = await connection.execute(_LOCK_STATEMENT, which)
    return dict(await cursor.fetchall()) == {source.id: source.text for source in group}


async def _written(connection: AsyncConnection[Any], new: NewMemory, group: Group, embedder: int) -> None:
    await pgstore.insert(connection, [new], embedder)
    summary = {"user_id": new.memory.user_id, "summary": new.memory.id, "text": new.memory.text}
    await connection.execute(statement("compress_write"), summary | {"ids": [source.id for source in group]})


@asynccontextmanager
async def _connected(pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """For the locks, which go with it: nobody who dies keeps one."""
    connection = await connect_like(pool)
    try:
        yield connection
    finally:
        await close_quietly(connection)


@asynccontextmanager
async def _alone(connection: AsyncConnection[Any], user_id: str) -> AsyncIterator[bool]:
    """Whether nobody else is at this owner's memories; if so, nobody is until the end."""
    row = await (await connection.execute(_LOCK, (user_id,))).fetchone()
    is_ours = bool(row and row[0])
    try:
        yield is_ours
    finally:
        if is_ours:
            await connection.execute(_UNLOCK, (user_id,))

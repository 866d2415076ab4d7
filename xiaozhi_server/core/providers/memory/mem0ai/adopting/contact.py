"""Brings what mem0 knows of an owner over as soon as somebody asks for that owner: nothing is missing from the first
question on, and everything that can be done with a memory can be done with those.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..scope import Scope
from .access_log import read_access_log
from .checkpoints import read_checkpoints
from .foreign_row import UnfitRowError, read_row
from .foreign_table import ForeignRow, ForeignTable, NotAdoptableError
from .taking import Arrival, Taker, fitting

logger = logging.getLogger(__name__)

_PAGE = 1000
_MET_MAX = 100_000
_AWAY_S = 30.0
_STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class AdoptedTable:
    """Which table of mem0's is read until all of it has come over, and whether its vectors are our embedder's."""

    table: ForeignTable
    same_embedder: bool = False


class FirstContact:
    """One for each process. Owners are fetched one after the other: it is a scan of mem0's table, which has no index
    for them.
    """

    def __init__(self, adopted: AdoptedTable, taker: Taker, dimensions: int) -> None:
        self._table = adopted.table
        self._same_embedder = adopted.same_embedder
        self._taker = taker
        self._dimensions = dimensions
        self._met: set[str] = set()
        self._meetings: dict[str, asyncio.Task[None]] = {}
        self._vectors: set[asyncio.Task[None]] = set()
        self._one_by_one = asyncio.Lock()
        self._embedding = asyncio.Lock()
        self._away_until = 0.0

    def begin(self, user_id: str) -> None:
        """This owner will be asked about soon."""
        if user_id not in self._met and not self._is_away():
            self._meeting(user_id)

    async def meet(self, user_id: str) -> None:
        """From now on this owner's memories are all in our table. Raises where mem0's cannot be read."""
        if user_id not in self._met:
            await asyncio.shield(self._meeting(user_id))

    async def meet_if_possible(self, user_id: str, *, timeout_s: float) -> None:
        """The same for who would rather go on with what there is."""
        if user_id in self._met or self._is_away():
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self.meet(user_id)
        except TimeoutError:
            logger.warning("memory: what mem0 knows of an owner has not come over yet")
        except Exception:  # noqa: BLE001 - it was told by the meeting itself
            return

    async def stop(self) -> None:
        """What is broken off here is begun again by the next contact."""
        tasks = {*self._meetings.values(), *self._vectors}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)

    def _is_away(self) -> bool:
        return asyncio.get_running_loop().time() < self._away_until

    def _meeting(self, user_id: str) -> "asyncio.Task[None]":
        if user_id not in self._meetings:
            meeting = asyncio.create_task(self._meet(user_id), name="memory-adopt")
            self._meetings[user_id] = meeting
            meeting.add_done_callback(lambda done: self._ended(user_id, done))
        return self._meetings[user_id]

    def _ended(self, user_id: str, meeting: "asyncio.Task[None]") -> None:
        self._meetings.pop(user_id, None)
        if meeting.cancelled():
            return
        if (error := meeting.exception()) is None:
            if len(self._met) >= _MET_MAX:
                self._met.clear()  # they are met again, and everything is there already
            self._met.add(user_id)
            return
        self._away_until = asyncio.get_running_loop().time() + _AWAY_S
        logger.warning("memory: mem0's table cannot be read (%s); again in %g s", type(error).__name__, _AWAY_S)

    async def _meet(self, user_id: str) -> None:
        async with self._one_by_one:
            try:
                await self._table.dimensions()
            except NotAdoptableError as problem:  # it was dropped: nothing can be missing
                logger.warning("memory: %s", problem)
                return
            now = datetime.now(UTC)
            async for rows in self._table.memories(page=_PAGE, user_id=user_id, vectors=self._same_embedder):
                found = [arrival for row in rows if (arrival := self._arrival(row, now)) is not None]
                arrivals = [one for one in found if one.memory.user_id == user_id]
                await self._taker.take(arrivals, embed=False)
            async for logs in self._table.access_logs(page=_PAGE, user_id=user_id):
                for log in logs:
                    await self._taker.note_accesses(user_id, read_access_log(log.payload))
            kept = [row async for rows in self._table.checkpoints(page=_PAGE, user_id=user_id) for row in rows]
            await self._taker.take_checkpoints(read_checkpoints(kept))
        self._in_background(self._embed(user_id))

    def _arrival(self, row: ForeignRow, now: datetime) -> Arrival | None:
        """What is not fit stays where it is; the command tells what and why."""
        try:
            found = read_row(row.id, row.payload, now=now)
        except UnfitRowError:
            return None
        return Arrival(found.memory, fitting(row.vector, self._dimensions))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="memory-adopt-vectors")
        self._vectors.add(task)
        task.add_done_callback(self._vectors.discard)

    async def _embed(self, user_id: str) -> None:
        """They are found by their words as long as this takes."""
        async with self._embedding:
            try:
                await self._taker.embed_owner(Scope(user_id))
            except Exception as error:  # noqa: BLE001 - an embedder or the database: `memory reembed` does it as well
                logger.warning("memory: adopted memories have no vectors yet (%s)", type(error).__name__)

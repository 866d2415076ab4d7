"""Hands the outbox's entries to the platform, each exactly once.

Before a request leaves, it is written down under which name; the name travels with the memories. Who comes back from a
crash or a lost answer asks the platform for the event, else for the name, before anything is sent again. What takes
effect later than anybody waits is found by its name and deleted: see `doubts`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..saving.outbox import Batch, OutboxEntry
from ..saving.saver import BatchPolicy
from . import doubts, sends
from .api import PlatformApi
from .copies import Copies
from .doubts import Worked
from .errors import ExtractionFailedError, PlatformError, StillPendingError, UnknownEventError
from .health import Health
from .options import PlatformOptions
from .sends import Send
from .sweep import Sweep

Pool = AsyncConnectionPool[Any]

_PAUSES_S = (0.2, 0.4, 0.8, 1.5)  # between two looks at an event; the last one again and again
_LOOK_AGAIN_S = 2.0


class PlatformSaver:
    """A Saver. What was kept here meanwhile goes in the same transaction that settles the entries."""

    def __init__(
        self,
        pool: Pool,
        api: PlatformApi,
        health: Health,
        options: PlatformOptions,
        sweep: Sweep,
        *,
        copies: Copies | None = None,
    ) -> None:
        self.policy: BatchPolicy | None = options.policy
        self._pool = pool
        self._api = api
        self._health = health
        self._options = options
        self._sweep = sweep
        self._copies = copies

    def is_ready(self) -> bool:
        return self._health.is_usable

    async def prepare(self, batches: Sequence[Batch]) -> list[list[Worked]]:
        """For each batch the requests whose memories count."""
        try:
            worked = [await self._deliver(batch) for batch in batches]
        except PlatformError as error:
            self._health.failed(error)
            raise
        self._health.worked()
        return worked

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[list[Worked]]
    ) -> None:
        for batch, worked in zip(batches, prepared, strict=True):
            await sends.settle(connection, batch)
            await doubts.decide(connection, batch, worked)
            if self._copies is not None:
                await self._copies.drop(connection, batch)

    def written(self, batches: Sequence[Batch]) -> None:
        self._sweep.wake()
        if self._copies is not None:
            self._copies.dropped(batches)

    async def _deliver(self, batch: Batch) -> list[Worked]:
        async with self._connection() as connection:
            earlier = await sends.sends_of(connection, batch)
        worked: list[Worked] = []
        done: set[str] = set()
        for send in earlier:
            if found := await self._came_of(batch, send):
                worked.append(found)
                done |= send.keys
        found_late, keys = await self._in_doubt(batch[0].user_id, {entry.key for entry in batch} - done)
        left = [entry for entry in batch if entry.key not in done | keys]
        sent = [await self._send(left)] if left else []
        return [*worked, *found_late, *filter(None, sent)]

    async def _send(self, entries: Sequence[OutboxEntry]) -> Worked | None:
        """None where they were forgotten meanwhile."""
        user_id = entries[0].user_id
        name = Worked(sends.send_id_of(entries), uuid.uuid4().hex)
        async with self._connection() as connection:
            if not await sends.begin(connection, entries, name.send_id, name.attempt):
                return None
        try:
            event_id = await self._api.add(
                [message for entry in entries for message in entry.messages],
                user_id=user_id,
                metadata=_metadata(entries[-1], name),
                said_at=entries[-1].messages[-1].spoken_at,
                instruction=entries[-1].wishes.instruction,
            )
        except PlatformError as error:
            if not error.may_have_worked:
                await self._forget(user_id, name)
            raise
        async with self._connection() as connection:
            await sends.accepted(connection, user_id, name, event_id)
        if await self._outcome(event_id) == "failed":
            await self._forget(user_id, name)
            raise ExtractionFailedError("the platform could not make memories of it")
        return name

    async def _came_of(self, batch: Batch, send: Send) -> Worked | None:
        """What was sent before, if it has become memories; else it counts as not sent."""
        user_id, name = batch[0].user_id, Worked(send.send_id, send.attempt)
        try:
            if send.event_id:
                if await self._outcome(send.event_id) == "succeeded":
                    return name
                await self._forget(user_id, name)
                return None
            attempts = await self._turned_up(user_id, send)
        except UnknownEventError:
            attempts = await self._attempts(user_id, send.send_id)
        if attempts:
            return Worked(send.send_id, min(attempts))
        async with self._connection() as connection:
            await doubts.doubt(connection, batch, name)
        return None

    async def _turned_up(self, user_id: str, send: Send) -> set[str]:
        """The answer was lost: as long as it is likely that the request still has its effect, look whether it had."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._options.unsure_s - send.age_s
        while not (attempts := await self._attempts(user_id, send.send_id)):
            left_s = ends_at - loop.time()
            if left_s <= 0:
                return set()
            await asyncio.sleep(min(_LOOK_AGAIN_S, left_s))
        return attempts

    async def _in_doubt(self, user_id: str, keys: set[str]) -> tuple[list[Worked], set[str]]:
        """Which of these entries became memories after all, through requests that nobody counted on any more."""
        async with self._connection() as connection:
            unwanted = await doubts.doubts_of(connection, user_id)
        worked: list[Worked] = []
        done: set[str] = set()
        for doubt in unwanted.doubts.values():
            if doubt.keys & keys - done and doubt.may_have_worked:
                attempt = doubt.chosen(await self._attempts(user_id, doubt.send_id))
                if attempt is not None:
                    worked.append(Worked(doubt.send_id, attempt))
                    done |= doubt.keys & keys
        return worked, done

    async def _attempts(self, user_id: str, send_id: str) -> set[str]:
        return {attempt for _, attempt in await self._api.sent(user_id, send_id)}

    async def _outcome(self, event_id: str) -> Literal["succeeded", "failed"]:
        loop = asyncio.get_running_loop()
        ends_at, looks = loop.time() + self._options.event_timeout_s, 0
        while (status := await self._api.event(event_id)) == "pending":
            if loop.time() >= ends_at:
                raise StillPendingError("the platform is not done with it yet")
            await asyncio.sleep(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
            looks += 1
        return status

    async def _forget(self, user_id: str, name: Worked) -> None:
        async with self._connection() as connection:
            await sends.unsent(connection, user_id, name)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection


def _metadata(entry: OutboxEntry, name: Worked) -> dict[str, str]:
    given = {"agent_id": entry.agent_id, "session_id": entry.session_id}
    given |= {"send_id": name.send_id, "attempt": name.attempt}
    return {name: value for name, value in given.items() if value}

"""Hands the outbox's entries to the platform, each exactly once as far as anybody can know.

Before a request leaves, it is written down under which name; the name travels with the memories. Who comes back from a
crash or a lost answer asks the platform for the event, else for the name, before anything is sent again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from ..saving.outbox import Batch, OutboxEntry
from ..saving.saver import BatchPolicy
from . import sends
from .api import PlatformApi
from .copies import Copies
from .errors import ExtractionFailedError, PlatformError, StillPendingError, UnknownEventError
from .health import Health
from .options import PlatformOptions
from .sends import Send

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
        *,
        copies: Copies | None = None,
    ) -> None:
        self.policy: BatchPolicy | None = options.policy
        self._pool = pool
        self._api = api
        self._health = health
        self._options = options
        self._copies = copies

    def is_ready(self) -> bool:
        return self._health.is_usable

    async def prepare(self, batches: Sequence[Batch]) -> list[None]:
        try:
            for batch in batches:
                await self._deliver(batch)
        except PlatformError as error:
            self._health.failed(error)
            raise
        self._health.worked()
        return [None] * len(batches)

    async def write(self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[None]) -> None:
        for batch in batches:
            await sends.settle(connection, batch)
            if self._copies is not None:
                await self._copies.drop(connection, batch)

    def written(self, batches: Sequence[Batch]) -> None:
        if self._copies is not None:
            self._copies.dropped(batches)

    async def _deliver(self, batch: Batch) -> None:
        async with self._connection() as connection:
            earlier = await sends.sends_of(connection, batch)
        done: set[str] = set()
        for send in earlier:
            if await self._has_worked(batch[0].user_id, send):
                done |= send.keys
            else:
                await self._forget(batch[0].user_id, send.send_id)
        left = [entry for entry in batch if entry.key not in done]
        if left:
            await self._send(left)

    async def _send(self, entries: Sequence[OutboxEntry]) -> None:
        user_id, send_id = entries[0].user_id, sends.send_id_of(entries)
        async with self._connection() as connection:
            await sends.begin(connection, entries, send_id)
        try:
            event_id = await self._api.add(
                [message for entry in entries for message in entry.messages],
                user_id=user_id,
                metadata=_metadata(entries[-1], send_id),
                said_at=entries[-1].messages[-1].spoken_at,
                instruction=entries[-1].wishes.instruction,
            )
        except PlatformError as error:
            if not error.may_have_worked:
                await self._forget(user_id, send_id)
            raise
        async with self._connection() as connection:
            await sends.accepted(connection, user_id, send_id, event_id)
        if await self._outcome(event_id) == "failed":
            await self._forget(user_id, send_id)
            raise ExtractionFailedError("the platform could not make memories of it")

    async def _has_worked(self, user_id: str, send: Send) -> bool:
        if send.event_id:
            try:
                return await self._outcome(send.event_id) == "succeeded"
            except UnknownEventError:
                return await self._api.was_sent(user_id, send.send_id)
        return await self._turned_up(user_id, send)

    async def _turned_up(self, user_id: str, send: Send) -> bool:
        """The answer was lost: as long as the request may still have its effect, look whether it had."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._options.unsure_s - send.age_s
        while not await self._api.was_sent(user_id, send.send_id):
            left_s = ends_at - loop.time()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(_LOOK_AGAIN_S, left_s))
        return True

    async def _outcome(self, event_id: str) -> Literal["succeeded", "failed"]:
        loop = asyncio.get_running_loop()
        ends_at, looks = loop.time() + self._options.event_timeout_s, 0
        while (status := await self._api.event(event_id)) == "pending":
            if loop.time() >= ends_at:
                raise StillPendingError("the platform is not done with it yet")
            await asyncio.sleep(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
            looks += 1
        return status

    async def _forget(self, user_id: str, send_id: str) -> None:
        async with self._connection() as connection:
            await sends.unsent(connection, user_id, send_id)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with asyncio.timeout(self._options.database_timeout_s), self._pool.connection() as connection:
            yield connection


def _metadata(entry: OutboxEntry, send_id: str) -> dict[str, str]:
    given = {"agent_id": entry.agent_id, "session_id": entry.session_id, "send_id": send_id}
    return {name: value for name, value in given.items() if value}

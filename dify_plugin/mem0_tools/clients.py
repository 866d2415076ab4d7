"""The memories that are open, one for each set of credentials. All of it happens on the background loop.

Opening is shared: whoever comes meanwhile waits for the same one, and whoever gives up waiting does not break it off
for the others. One that others have been opened after, and that nobody has asked for a while, is closed once nobody
uses it: so ends what changed credentials leave behind. Where accepted writes wait for their next try it stays open, but
not beside a newer one of the same memories, which does them with credentials that may be better.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from . import logs
from .credentials import Settings
from .heartbeat import beating
from .memory import Home
from .places import name_of

logger = logging.getLogger(__name__)

OpenHome = Callable[[Settings], Awaitable[Home]]


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """`replaced_after_s`: how long one that newer ones have taken the place of is kept without being asked."""

    most: int = 4
    replaced_after_s: float = 30.0
    open_timeout_s: float = 60.0
    close_deadline_s: float = 5.0


@dataclass(slots=True, eq=False)
class _Client:
    opening: asyncio.Task[Home]
    place: str
    opened_at: float
    asked_at: float
    users: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    beat: asyncio.Task[None] | None = None

    @property
    def is_used(self) -> bool:
        if self.users or not self.opening.done():
            return True
        return self.home is not None and self.home.is_busy

    @property
    def home(self) -> Home | None:
        """None while it is opened, and where that failed."""
        opened = self.opening.done() and not self.opening.cancelled() and self.opening.exception() is None
        return self.opening.result() if opened else None


class Clients:
    """`close` waits for who uses a client as long as the deadline allows."""

    def __init__(
        self, open_home: OpenHome, options: ClientOptions | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_home = open_home
        self._options = options or ClientOptions()
        self._clock = clock
        self._clients: dict[str, _Client] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._one_by_one = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lease(self, settings: Settings) -> AsyncIterator[Home]:
        """The memory of these credentials, for as long as the block lasts."""
        client = self._clients.get(settings.fingerprint) or self._begin(settings)
        client.users += 1
        client.unused.clear()
        client.asked_at = self._clock()
        try:
            yield await asyncio.shield(client.opening)
        finally:
            client.users -= 1
            client.asked_at = self._clock()
            if not client.users:
                client.unused.set()

    def count(self) -> int:
        return len(self._clients)

    async def close(self, deadline_s: float) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for fingerprint in list(self._clients):
            self._retire(fingerprint, deadline_s)
        if self._closing:
            await asyncio.wait(self._closing)

    def _begin(self, settings: Settings) -> _Client:
        now = self._clock()
        opening = asyncio.create_task(self._open(settings), name="mem0-open", context=logs.of_no_run())
        client = _Client(opening, name_of(settings), now, now)
        self._clients[settings.fingerprint] = client
        opening.add_done_callback(lambda done: self._opened(settings, client, done), context=logs.of_no_run())
        self._drop_replaced()
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="mem0-sweep", context=logs.of_no_run())
        return client

    async def _open(self, settings: Settings) -> Home:
        # Two that open at once on one database would both make its extension and its tables.
        async with self._one_by_one, asyncio.timeout(self._options.open_timeout_s):
            return await self._open_home(settings)

    def _opened(self, settings: Settings, client: _Client, done: asyncio.Task[Home]) -> None:
        """One that failed is tried again by the next call."""
        if done.cancelled() or done.exception() is not None:
            if self._clients.get(settings.fingerprint) is client:
                del self._clients[settings.fingerprint]
            return
        home = done.result()
        client.beat = asyncio.create_task(
            beating(home.beats, settings.heartbeat_s, client.ended), name="mem0-heartbeat"
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(max(self._options.replaced_after_s / 2, 0.05))
            self._drop_replaced()

    def _drop_replaced(self) -> None:
        """Those that have had their time, and the longest unasked where there are too many."""
        newest = max((one.opened_at for one in self._clients.values()), default=0.0)
        by_use = sorted(self._clients.items(), key=lambda item: item[1].asked_at)
        spare = len(by_use) - self._options.most
        old = self._clock() - self._options.replaced_after_s
        for fingerprint, client in by_use:
            if client.is_used or client.opened_at >= newest:
                continue
            if spare > 0 or (client.asked_at <= old and not self._has_writes(client)):
                self._retire(fingerprint, self._options.close_deadline_s)
                spare -= 1

    def _has_writes(self, client: _Client) -> bool:
        """Which nobody else would do."""
        newer = (one for one in self._clients.values() if one.opened_at > client.opened_at)
        has_some = client.home is not None and client.home.has_writes
        return has_some and all(one.place != client.place for one in newer)

    def _retire(self, fingerprint: str, deadline_s: float) -> None:
        """From now on nobody gets it; who has it may finish."""
        client = self._clients.pop(fingerprint)
        task = asyncio.create_task(self._closed(client, deadline_s), name="mem0-close", context=logs.of_no_run())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _closed(self, client: _Client, deadline_s: float) -> None:
        client.ended.set()
        if client.users:
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    await client.unused.wait()
        try:
            if not client.opening.done():
                client.opening.cancel()
                await asyncio.wait({client.opening})
            if client.opening.cancelled() or client.opening.exception() is not None:
                return
            if client.beat is not None:
                await client.beat
            await client.opening.result().close(deadline_s)
        except Exception as error:  # noqa: BLE001 - it is gone for us in any case
            logger.warning("a memory did not close well (%s)", type(error).__name__)

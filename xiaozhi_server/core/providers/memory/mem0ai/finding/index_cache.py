"""The indexes of those owners who are asked about now, as many as there is room for; never older than the last change.

An index is used only while nothing has changed since it was read. Our own writes say so by `changed` once they are
committed, those of others by `Changes`; a write in somebody's open transaction is announced by `expect`.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .owner_index import OwnerIndex
from .owner_load import Loaded

logger = logging.getLogger(__name__)

_ACTIVE_S = 60.0  # who was asked about within this time is read again as soon as something changes
# Changes that follow each other closely are read together: what was said is accepted, saved, and noted as recalled.
# Who asks sooner does not wait for this, only for the reading.
_BURST_S = 0.3
_EXPECTED_S = 2.0  # how long a write may stay in an open transaction before only `Changes` can tell of its end
_EXPECTED_MAX = 1000  # owners; then those who need not be waited for any more are looked for
_TOO_MANY_S = 600.0  # how long an owner with too many memories is not tried again
_MANY_NOW_S = 30.0  # the same while nothing is kept, where more than a page are too many
_STOP_TIMEOUT_S = 1.0


class Loader(Protocol):
    async def small(self, user_id: str) -> Loaded | None: ...

    async def whole(self, user_id: str) -> Loaded | None: ...

    async def newer(self, user_id: str, old: Loaded) -> Loaded | None: ...


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """`rows_many` is from where on an owner had better be searched otherwise, `loads` how many are read at a time.

    `load_timeout_s` is for those that somebody may wait for.
    """

    size_bytes: int = 256 * 1024 * 1024
    rows_many: int = 20_000
    loads: int = 4
    load_timeout_s: float = 10.0


@dataclass(slots=True)
class _Kept:
    loaded: Loaded
    size_bytes: int
    used_at: float
    stale: bool = False


@dataclass(slots=True)
class _Load:
    """`background`: it takes long, so nobody waits for it. `asked`: it is there only for those who wait for it."""

    task: "asyncio.Task[OwnerIndex | None]"
    background: bool
    asked: bool = False
    waiting: int = 0


class IndexCache:
    """`many` is told of an owner who has a great many memories. Some more are kept for as long as it takes."""

    def __init__(self, loader: Loader, options: CacheOptions, many: Callable[[str], None]) -> None:
        self._loader = loader
        self._options = options
        self._tell_many = many
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size_bytes = 0
        self._loads: dict[str, _Load] = {}
        self._tasks: set[asyncio.Task[OwnerIndex | None]] = set()
        self._refreshes: dict[str, asyncio.TimerHandle] = {}
        self._expected: dict[str, dict[str, float]] = {}
        self._too_many: dict[str, float] = {}
        self._limit = asyncio.Semaphore(options.loads)
        self._listening = False
        self._era = 0  # what was read in another one is worth nothing

    async def current(self, user_id: str) -> OwnerIndex | None:
        """All of this owner's memories as they are now; None where the database is to be asked instead."""
        if self._is_too_many(user_id):
            return None
        if not self._listening or not self._options.size_bytes:
            return await self._passing(user_id)
        kept = self._kept.get(user_id)
        expected = self._is_expected(user_id)
        if kept is not None:
            kept.used_at = time.monotonic()
            self._kept.move_to_end(user_id)
            if not kept.stale and not expected:
                return kept.loaded.index
        load = self._loads.get(user_id)
        if load is None or (expected and not load.background):
            load = self._start(user_id, kept)
            load.asked = True
        return None if load.background else await self._waited_for(user_id, load)

    def is_outdated(self, user_id: str, index: OwnerIndex) -> bool:
        """Whether something has changed since `current` returned this."""
        kept = self._kept.get(user_id)
        return kept is not None and (kept.stale or kept.loaded.index is not index or self._is_expected(user_id))

    def prefetch(self, user_id: str) -> None:
        """This owner will be asked about soon."""
        if user_id in self._kept:
            self._kept[user_id].used_at = time.monotonic()
        known = user_id in self._kept or user_id in self._loads or self._is_too_many(user_id)
        if (load := self._loads.get(user_id)) is not None:
            load.asked = False
        if self._listening and self._options.size_bytes and not known:
            self._start(user_id, None)

    def changed(self, user_id: str) -> None:
        """Something of this owner was committed: whatever was or is being read is out of date."""
        self._loads.pop(user_id, None)
        kept = self._kept.get(user_id)
        if kept is None:
            return
        if time.monotonic() - kept.used_at > _ACTIVE_S:
            self._drop(user_id)
            return
        kept.stale = True
        self._refresh_soon(user_id)

    def forget(self, user_id: str) -> None:
        """Nothing of this owner may stay, not even until it is read again."""
        self._loads.pop(user_id, None)
        self._expected.pop(user_id, None)
        self._too_many.pop(user_id, None)
        self._drop(user_id)

    def expect(self, user_id: str, key: str) -> None:
        """Something of this owner may be committed at any moment."""
        if len(self._expected) > _EXPECTED_MAX:
            for other in list(self._expected):
                self._is_expected(other)  # forgets who is not
        self._expected.setdefault(user_id, {})[key] = time.monotonic() + _EXPECTED_S

    def came(self, user_id: str, key: str) -> None:
        """It was committed."""
        if keys := self._expected.get(user_id):
            keys.pop(key, None)

    def listen(self) -> None:
        """From now on `changed` is called for everything that anybody writes."""
        self.clear()
        self._listening = True

    def shut(self) -> None:
        """It is not any more."""
        self._listening = False
        self.clear()

    def clear(self) -> None:
        self._era += 1
        self._loads.clear()
        self._kept.clear()
        self._size_bytes = 0
        self._expected.clear()
        self._too_many.clear()
        for refresh in self._refreshes.values():
            refresh.cancel()
        self._refreshes.clear()

    async def close(self) -> None:
        self.shut()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT_S)

    async def _waited_for(self, user_id: str, load: _Load) -> OwnerIndex | None:
        """It ends when nobody waits any more."""
        load.waiting += 1
        try:
            return await asyncio.shield(load.task)
        finally:
            load.waiting -= 1
            if load.asked and not load.waiting and not load.task.done():
                load.task.cancel()
                if self._loads.get(user_id) is load:  # whoever comes next begins anew
                    del self._loads[user_id]

    async def _passing(self, user_id: str) -> OwnerIndex | None:
        """For one question only."""
        loaded = await self._loader.small(user_id)
        if loaded is None:
            self._too_many[user_id] = time.monotonic() + _MANY_NOW_S
            return None
        return loaded.index

    def _start(self, user_id: str, kept: _Kept | None, *, whole: bool = False) -> _Load:
        reading = self._read(user_id, None if kept is None else kept.loaded, whole)
        task = asyncio.create_task(reading, name="memory-load")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        load = self._loads[user_id] = _Load(task, background=whole)
        return load

    async def _read(self, user_id: str, old: Loaded | None, whole: bool) -> OwnerIndex | None:
        """The index, up to date with the begin of this call; None if that would take too long."""
        era = self._era
        try:
            async with self._limit:
                loaded = await self._loaded(user_id, old, whole)
        except BaseException:
            if self._is_ours(user_id):
                del self._loads[user_id]
            raise
        if era != self._era:
            return None if loaded is None else loaded.index
        # Overtaken by a change it is still worth keeping: what is newer can be read on its own.
        fresh = self._is_ours(user_id)
        if fresh:
            del self._loads[user_id]
        if loaded is not None:
            if fresh or self._is_stale(user_id):
                self._keep(user_id, loaded, stale=not fresh)
            return loaded.index
        if whole:
            self._give_up(user_id)
        elif fresh:
            self._start(user_id, None, whole=True)
        return None

    async def _loaded(self, user_id: str, old: Loaded | None, whole: bool) -> Loaded | None:
        if whole:
            return await self._loader.whole(user_id)
        async with asyncio.timeout(self._options.load_timeout_s):
            newer = None if old is None else await self._loader.newer(user_id, old)
            return newer or await self._loader.small(user_id)

    def _is_ours(self, user_id: str) -> bool:
        """Whether nothing has changed since the load began in whose task we are."""
        load = self._loads.get(user_id)
        return load is not None and load.task is asyncio.current_task()

    def _is_stale(self, user_id: str) -> bool:
        """Whether nothing is kept, or nothing better than what has been overtaken."""
        kept = self._kept.get(user_id)
        return kept is None or kept.stale

    def _keep(self, user_id: str, loaded: Loaded, *, stale: bool) -> None:
        before = self._kept.get(user_id)
        used_at = time.monotonic() if before is None else before.used_at
        self._drop(user_id)
        kept = self._kept[user_id] = _Kept(loaded, loaded.index.size_bytes, used_at, stale)
        self._size_bytes += kept.size_bytes
        if stale:
            self._refresh_soon(user_id)
        if len(loaded.index) > self._options.rows_many:
            self._tell_many(user_id)
        while self._size_bytes > self._options.size_bytes:
            oldest = next(iter(self._kept))
            self._drop(oldest)
            if oldest == user_id:
                self._give_up(user_id)

    def _drop(self, user_id: str) -> None:
        kept = self._kept.pop(user_id, None)
        if kept is not None:
            self._size_bytes -= kept.size_bytes

    def _give_up(self, user_id: str) -> None:
        self._drop(user_id)
        self._too_many[user_id] = time.monotonic() + _TOO_MANY_S
        self._tell_many(user_id)

    def _refresh_soon(self, user_id: str) -> None:
        if user_id not in self._refreshes:
            loop = asyncio.get_running_loop()
            self._refreshes[user_id] = loop.call_later(_BURST_S, self._refresh, user_id)

    def _refresh(self, user_id: str) -> None:
        self._refreshes.pop(user_id, None)
        kept = self._kept.get(user_id)
        if kept is not None and kept.stale and user_id not in self._loads:
            self._start(user_id, kept)

    def _is_too_many(self, user_id: str) -> bool:
        until = self._too_many.get(user_id)
        if until is not None and until < time.monotonic():
            del self._too_many[user_id]
            return False
        return until is not None

    def _is_expected(self, user_id: str) -> bool:
        keys = self._expected.get(user_id)
        if keys is None:
            return False
        now = time.monotonic()
        if any(until > now for until in keys.values()):
            return True
        del self._expected[user_id]
        return False

    def _finished(self, task: "asyncio.Task[OwnerIndex | None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("memory: an owner's memories could not be read (%s)", type(error).__name__)

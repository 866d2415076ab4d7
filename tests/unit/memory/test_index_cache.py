"""What is kept at hand: never older than the last change, never more than there is room for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.finding import owner_index
from xiaozhi_server.core.providers.memory.mem0ai.finding.index_cache import CacheOptions, IndexCache
from xiaozhi_server.core.providers.memory.mem0ai.finding.owner_index import OwnerIndex
from xiaozhi_server.core.providers.memory.mem0ai.finding.owner_load import Loaded

THEN = datetime(2026, 1, 1, tzinfo=UTC)


class SlowLoader:
    """Reads the version of an owner at the begin of a load, and gives it out once `go` is set."""

    def __init__(self, **versions: int) -> None:
        self.versions = versions
        self.go = asyncio.Event()
        self.go.set()
        self.loads: list[tuple[str, str]] = []
        self.refuses: set[str] = set()
        self.fails = False

    async def small(self, user_id: str) -> Loaded | None:
        return await self._loaded("small", user_id)

    async def whole(self, user_id: str) -> Loaded | None:
        return await self._loaded("whole", user_id)

    async def newer(self, user_id: str, old: Loaded) -> Loaded | None:
        return await self._loaded("newer", user_id)

    async def _loaded(self, way: str, user_id: str) -> Loaded | None:
        self.loads.append((way, user_id))
        version = self.versions[user_id]
        await self.go.wait()
        if self.fails:
            raise ConnectionError
        return None if way in self.refuses else Loaded(_index(user_id, version), str(version))


def _index(user_id: str, version: int) -> OwnerIndex:
    memory = StoredMemory(UUID(int=1), user_id, "", "", "", "user", None, f"version {version}", None, THEN, THEN)
    return owner_index.waiting(user_id, [memory], [[7]], 4)


SIZE = _index("ann", 1).size_bytes


@asynccontextmanager
async def opened(
    loader: SlowLoader, options: CacheOptions | None = None, many: Callable[[str], None] = lambda _: None
) -> AsyncIterator[IndexCache]:
    cache = IndexCache(loader, options or CacheOptions(), many)
    cache.listen()
    try:
        yield cache
    finally:
        await cache.close()


async def version(cache: IndexCache, user_id: str = "ann") -> str | None:
    found = await cache.current(user_id)
    return None if found is None else found.rows.texts[0]


async def begun(loader: SlowLoader, loads: int) -> None:
    await until(lambda: len(loader.loads) >= loads)


async def test_all_who_ask_at_once_share_one_load() -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader) as cache:
        assert await asyncio.gather(*(version(cache) for _ in range(5))) == ["version 1"] * 5
        assert await version(cache) == "version 1"
        assert loader.loads == [("small", "ann")]


async def test_who_asks_after_a_change_does_not_get_what_was_read_before() -> None:
    loader = SlowLoader(ann=1)
    loader.go.clear()
    async with opened(loader) as cache:
        early = asyncio.create_task(version(cache))
        await begun(loader, 1)
        loader.versions["ann"] = 2
        cache.changed("ann")
        late = asyncio.create_task(version(cache))
        await begun(loader, 2)
        loader.go.set()
        assert await late == "version 2"
        assert await early == "version 1"  # it was asked for before the change
        assert await version(cache) == "version 2"


async def test_a_change_during_a_load_is_read_before_the_next_answer() -> None:
    loader = SlowLoader(ann=1)
    loader.go.clear()
    async with opened(loader) as cache:
        early = asyncio.create_task(version(cache))
        await begun(loader, 1)
        loader.versions["ann"] = 2
        cache.changed("ann")
        loader.go.set()
        await early
        assert await version(cache) == "version 2"


async def test_after_a_change_it_is_read_again_without_a_question() -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader) as cache:
        await version(cache)
        for changed_to in (2, 3, 4):  # a burst is read once
            loader.versions["ann"] = changed_to
            cache.changed("ann")
        await begun(loader, 2)
        found = await cache.current("ann")
        assert found is not None and found.rows.texts == ["version 4"]
        assert loader.loads == [("small", "ann"), ("newer", "ann")]
        assert not cache.is_outdated("ann", found)
        cache.changed("ann")
        assert cache.is_outdated("ann", found)


async def test_what_may_be_committed_at_any_moment_is_looked_for_each_time() -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader) as cache:
        await version(cache)
        cache.expect("ann", "turn-1")
        cache.expect("ann", "turn-2")
        assert await version(cache) == "version 1"
        loader.versions["ann"] = 2
        assert await version(cache) == "version 2"
        cache.came("ann", "turn-1")
        cache.changed("ann")
        loader.versions["ann"] = 3
        assert await version(cache) == "version 3"
        cache.came("ann", "turn-2")
        cache.changed("ann")
        assert await version(cache) == "version 3"
        loads = len(loader.loads)
        assert await version(cache) == "version 3"
        assert len(loader.loads) == loads


async def test_nothing_is_kept_while_nobody_tells_of_changes() -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader) as cache:
        await version(cache)
        cache.shut()
        for number in (2, 3):
            loader.versions["ann"] = number
            assert await version(cache) == f"version {number}"
        cache.listen()
        loader.versions["ann"] = 4
        assert await version(cache) == "version 4"
        loader.go.clear()
        cache.changed("ann")
        asked = asyncio.create_task(version(cache))
        await begun(loader, len(loader.loads) + 1)
        cache.shut()
        cache.listen()
        loader.versions["ann"] = 5  # of this nobody told
        loader.go.set()
        await asked
        assert await version(cache) == "version 5"


async def test_no_more_is_kept_than_there_is_room_for() -> None:
    loader = SlowLoader(ann=1, bob=1, cid=1)
    async with opened(loader, CacheOptions(size_bytes=int(2.5 * SIZE))) as cache:
        for user_id in ("ann", "bob", "ann", "cid", "ann", "bob"):
            await version(cache, user_id)
        assert [user_id for _, user_id in loader.loads] == ["ann", "bob", "cid", "bob"]


@pytest.mark.parametrize("room", [0, SIZE // 2])
async def test_without_room_questions_are_answered_all_the_same(room: int) -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader, CacheOptions(size_bytes=room)) as cache:
        assert await version(cache) == "version 1"
        loader.versions["ann"] = 2
        assert await version(cache) in (None, "version 2")


async def test_a_larger_owner_is_read_in_the_background() -> None:
    loader = SlowLoader(ann=1)
    loader.refuses = {"small"}
    async with opened(loader) as cache:
        assert await version(cache) is None
        await until(lambda: version(cache))
        assert loader.loads == [("small", "ann"), ("whole", "ann")]


async def test_who_has_too_many_is_told_and_not_tried_again() -> None:
    loader = SlowLoader(ann=1)
    loader.refuses = {"small", "whole"}
    many: list[str] = []
    async with opened(loader, many=many.append) as cache:
        assert await version(cache) is None
        await until(lambda: many)
        loads = len(loader.loads)
        assert await version(cache) is None
        cache.prefetch("ann")
        assert (many, len(loader.loads)) == (["ann"], loads)


async def test_who_has_many_is_told_and_still_answered() -> None:
    many: list[str] = []
    async with opened(SlowLoader(ann=1), CacheOptions(rows_many=0), many.append) as cache:
        assert await version(cache) == "version 1"
        assert many == ["ann"]


async def test_a_load_that_fails_is_told_and_tried_again() -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader) as cache:
        loader.fails = True
        with pytest.raises(ConnectionError):
            await version(cache)
        loader.fails = False
        assert await version(cache) == "version 1"


async def test_a_caller_who_leaves_does_not_take_the_load_along() -> None:
    loader = SlowLoader(ann=1)
    loader.go.clear()
    async with opened(loader) as cache:
        first, second = (asyncio.create_task(version(cache)) for _ in range(2))
        await begun(loader, 1)
        first.cancel()
        await asyncio.sleep(0)
        loader.go.set()
        assert await second == "version 1"
        assert loader.loads == [("small", "ann")]


async def test_what_is_asked_for_soon_is_there_already() -> None:
    loader = SlowLoader(ann=1)
    async with opened(loader) as cache:
        cache.prefetch("ann")
        cache.prefetch("ann")
        await begun(loader, 1)
        assert await version(cache) == "version 1"
        assert loader.loads == [("small", "ann")]


async def test_a_load_ends_when_nobody_waits_any_more() -> None:
    loader = SlowLoader(ann=1)
    loader.go.clear()
    async with opened(loader) as cache:
        asking = [asyncio.create_task(version(cache)) for _ in range(2)]
        await begun(loader, 1)
        (load,) = cache._tasks
        asking[0].cancel()
        await asyncio.wait({asking[0]})
        assert not load.done()
        asking[1].cancel()
        await asyncio.wait({asking[1], load})
        assert load.cancelled()
        again = asyncio.create_task(version(cache))
        await begun(loader, 2)
        loader.go.set()
        assert await again == "version 1"


async def test_a_load_that_was_asked_for_ahead_goes_on_without_those_who_wait() -> None:
    loader = SlowLoader(ann=1)
    loader.go.clear()
    async with opened(loader) as cache:
        cache.prefetch("ann")
        asking = asyncio.create_task(version(cache))
        await begun(loader, 1)
        asking.cancel()
        await asyncio.wait({asking})
        loader.go.set()
        assert await version(cache) == "version 1"
        assert loader.loads == [("small", "ann")]


async def test_a_load_that_hangs_ends_by_itself() -> None:
    loader = SlowLoader(ann=1)
    loader.go.clear()
    async with opened(loader, CacheOptions(load_timeout_s=0.01)) as cache:
        cache.prefetch("ann")
        (load,) = cache._tasks
        await asyncio.wait({load})
        assert isinstance(load.exception(), TimeoutError)
        loader.go.set()
        assert await version(cache) == "version 1"

"""Memories are opened once for each set of credentials, and closed when others take their place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mem0_tools import logs
from mem0_tools.clients import ClientOptions, Clients
from mem0_tools.credentials import Platform, Settings
from mem0_tools.memory import Home
from tests.support.waiting import until
from tests.unit.dify.fake_home import FakeMemory, home_of


def settings(name: str) -> Settings:
    return Settings(Platform("key"), name)


class World:
    """Counts what is opened and closed; `free` holds up opening."""

    def __init__(self, options: ClientOptions | None = None) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.beaten: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.problem: Exception | None = None
        self.now = 0.0
        self.clients = Clients(self._open, options, clock=lambda: self.now)

    async def _open(self, settings: Settings) -> Home:
        name = settings.fingerprint
        self.opened.append(name)
        await self.free.wait()
        if self.problem is not None:
            raise self.problem

        async def close(deadline_s: float) -> None:
            self.closed.append(name)

        async def beat() -> None:
            self.beaten.append(name)

        return home_of(FakeMemory(), close=close, beats={"store": beat})


@asynccontextmanager
async def world(options: ClientOptions | None = None) -> AsyncIterator[World]:
    made = World(options)
    try:
        yield made
    finally:
        await made.clients.close(1.0)


async def test_one_memory_is_opened_however_many_ask_at_once() -> None:
    async with world() as one:

        async def ask() -> Home:
            async with one.clients.lease(settings("a")) as home:
                return home

        homes = await asyncio.gather(*(ask() for _ in range(10)))
    assert one.opened == ["a"]
    assert len(set(map(id, homes))) == 1
    assert one.closed == ["a"]


async def test_who_gives_up_waiting_does_not_break_off_the_opening() -> None:
    async with world() as one:
        one.free.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), one.clients.lease(settings("a")):
                raise AssertionError("it cannot be open")
        one.free.set()
        async with one.clients.lease(settings("a")):
            assert one.opened == ["a"]


async def test_what_could_not_be_opened_is_tried_again() -> None:
    async with world() as one:
        one.problem = ValueError("no")
        with pytest.raises(ValueError, match="no"):
            async with one.clients.lease(settings("a")):
                raise AssertionError("it cannot be open")
        one.problem = None
        async with one.clients.lease(settings("a")):
            assert one.opened == ["a", "a"]


async def test_changed_credentials_close_what_they_replace_once_nobody_uses_it() -> None:
    async with world(ClientOptions(replaced_after_s=0.1)) as one:
        async with one.clients.lease(settings("old")):
            one.now = 10.0
            async with one.clients.lease(settings("new")):
                one.now = 1000.0
                await until(lambda: one.clients.count() == 2)
                assert one.closed == []  # the old one is in use
        one.now = 2000.0
        await until(lambda: one.closed == ["old"])
        assert one.clients.count() == 1


async def test_0_2_4_nothing_is_closed_under_whoever_uses_it() -> None:
    """Nor is what was closed handed out again: whoever comes back gets a new pool."""
    async with world(ClientOptions(most=1, replaced_after_s=0.0, close_deadline_s=0.0)) as one:
        async with one.clients.lease(settings("old")) as held:
            for name in ("new", "newer"):
                one.now += 1000.0
                async with one.clients.lease(settings(name)):
                    one.clients._drop_replaced()  # as it is done from time to time
            await asyncio.gather(*one.clients._closing)
            assert one.closed == ["new"]
            async with one.clients.lease(settings("old")) as same:
                assert same is held
        one.clients._drop_replaced()
        await asyncio.gather(*one.clients._closing)
        assert one.closed == ["new", "old"]
        async with one.clients.lease(settings("old")) as anew:
            assert anew is not held
        assert one.opened == ["old", "new", "newer", "old"]


async def test_the_newest_stays_however_long_nobody_asks() -> None:
    async with world(ClientOptions(replaced_after_s=0.02)) as one:
        async with one.clients.lease(settings("a")):
            pass
        one.now = 10_000.0
        async with one.clients.lease(settings("b")):
            await until(lambda: one.closed == ["a"])
        one.now = 20_000.0
        one.clients._drop_replaced()  # as it is done from time to time
        assert one.clients.count() == 1


async def test_no_more_than_so_many_are_open() -> None:
    async with world(ClientOptions(most=2)) as one:
        for name in "abc":
            one.now += 1.0
            async with one.clients.lease(settings(name)):
                pass
        await until(lambda: one.closed == ["a"])
        assert one.clients.count() == 2


async def test_the_first_heartbeat_comes_at_once() -> None:
    async with world() as one, one.clients.lease(settings("a")):
        await until(lambda: one.beaten == ["a"])


async def test_what_all_share_speaks_for_no_single_call() -> None:
    """Opening, heartbeats and closing are begun by the call that comes first, and outlive it."""
    runs: dict[str, str] = {}

    async def open_home(settings: Settings) -> Home:
        async def close(deadline_s: float) -> None:
            runs["close"] = logs.run_id.get()

        async def beat() -> None:
            runs["beat"] = logs.run_id.get()

        runs["open"] = logs.run_id.get()
        return home_of(FakeMemory(), close=close, beats={"store": beat})

    clients = Clients(open_home)
    logs.begin_run("run-1")
    async with clients.lease(settings("a")):
        await until(lambda: "beat" in runs)
    await clients.close(1.0)
    assert (logs.run_id.get(), runs) == ("run-1", dict.fromkeys(("open", "beat", "close"), logs.NO_RUN))
    logs.begin_run("")


async def test_closing_waits_for_who_uses_it() -> None:
    async with world() as one:
        held, free = asyncio.Event(), asyncio.Event()

        async def use() -> None:
            async with one.clients.lease(settings("a")):
                held.set()
                await free.wait()
                assert one.closed == []

        using = asyncio.create_task(use())
        await held.wait()
        closing = asyncio.create_task(one.clients.close(5.0))
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(using, closing)
        assert one.closed == ["a"]


class Busy:
    is_busy = True


async def test_what_goes_on_behind_an_answer_is_not_broken_off() -> None:
    busy = Busy()

    async def open_home(settings: Settings) -> Home:
        return home_of(FakeMemory(), longterm=busy if settings.fingerprint == "old" else None)

    clients = Clients(open_home, ClientOptions(most=1, replaced_after_s=0.02))
    for name in ("old", "new"):
        async with clients.lease(settings(name)):
            pass
    clients._drop_replaced()  # as it is done from time to time
    assert clients.count() == 2
    busy.is_busy = False
    await until(lambda: clients.count() == 1)
    await clients.close(1.0)


async def opened_with_writes(old: Settings, new: Settings, writes: Busy) -> Clients:
    """And long ago: all that is not needed may go."""
    now = 0.0

    async def open_home(settings: Settings) -> Home:
        return home_of(FakeMemory(), writes=writes if settings is old else None)

    clients = Clients(open_home, clock=lambda: now)
    for one in (old, new):
        now += 1.0
        async with clients.lease(one):
            pass
    now += 1000.0
    clients._drop_replaced()  # as it is done from time to time
    return clients


async def test_accepted_writes_that_come_again_keep_a_memory_open() -> None:
    writes = Busy()
    other = Settings(Platform("another key"), "other")
    clients = await opened_with_writes(settings("one"), other, writes)
    assert clients.count() == 2
    writes.is_busy = False
    clients._drop_replaced()
    assert clients.count() == 1
    await clients.close(1.0)


async def test_they_are_left_to_better_credentials_of_the_same_memories() -> None:
    clients = await opened_with_writes(settings("old"), settings("new"), Busy())
    assert clients.count() == 1
    await clients.close(1.0)

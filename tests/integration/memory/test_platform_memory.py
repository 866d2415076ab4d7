"""Mem0's platform as a memory by itself: no PostgreSQL, and what is written once is there once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.cloud.faults import Extraction
from tests.integration.memory.mem0_world import until
from tests.integration.memory.platform_world import DOG, KEY, QUICK, TEAL, later, said
from tests.support.tcp_proxy import LinkFault, TcpProxy
from xiaozhi_server.core.providers.memory.mem0ai.errors import (
    InvalidFilterError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidTextError,
    MemoryNotFoundError,
)
from xiaozhi_server.core.providers.memory.mem0ai.platform import PlatformMemory, PlatformOptions
from xiaozhi_server.core.providers.memory.mem0ai.platform.errors import (
    ExtractionFailedError,
    PlatformAwayError,
    PlatformError,
    PlatformRefusedError,
    StillPendingError,
)
from xiaozhi_server.core.providers.memory.mem0ai.rows.listing import cursor_of


@dataclass(frozen=True, slots=True)
class World:
    cloud: StandInCloud
    link: TcpProxy
    folder: Path

    @asynccontextmanager
    async def memory(self, options: PlatformOptions = QUICK) -> AsyncIterator[PlatformMemory]:
        memory = PlatformMemory(replace(options, host=self.link.url), self.folder)
        try:
            yield memory
        finally:
            await memory.close(1.0)

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [one.body for one in self.cloud.requests if one.body.get("operation") == operation]


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[tuple[World, PlatformMemory]]:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud:
        host, port = cloud.memory_host.removeprefix("http://").split(":")
        async with TcpProxy(host, int(port)) as link:
            world = World(cloud, link, folder)
            async with world.memory() as memory:
                yield world, memory


# --- the basics ---


async def test_add_find_look_up_change_and_delete(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        changes = await memory.add(
            [said(TEAL)], user_id="ann", agent_id="bot", metadata={"kind": "taste", "n": 3}, infer=True
        )
        (found,) = await memory.search("favourite colour teal", user_id="ann", filters={"kind": "taste"})
        assert found.memory.id == changes[0].memory.id
        assert (found.memory.text, found.memory.agent_id, found.memory.metadata) == (
            TEAL,
            "bot",
            {"kind": "taste", "n": 3},
        )
        assert 0 < found.score <= 1
        assert await memory.search("colour", user_id="ann", filters={"kind": "other"}) == []
        assert await memory.get(found.memory.id, user_id="ann") == found.memory
        changed = await memory.update(found.memory.id, user_id="ann", text=DOG, metadata={"n": None})
        assert (changed.text, changed.metadata) == (DOG, {"kind": "taste"})
        assert [one.event for one in await memory.history(changed.id, user_id="ann")] == ["ADD", "UPDATE"]
        await memory.delete(changed.id, user_id="ann")
        assert await memory.get(changed.id, user_id="ann") is None
        assert [one.event for one in await memory.history(changed.id, user_id="ann")][-1] == "DELETE"
        assert world.asked("add")[0].get("infer", True) is True


async def test_word_for_word_is_asked_for(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        changes = await memory.add([said(TEAL), {"role": "assistant", "content": "Noted."}], user_id="ann")
        assert [one.memory.text for one in changes] == [TEAL, "Noted."]
        assert world.asked("add")[0]["infer"] is False


async def test_pages_go_from_the_newest_to_the_oldest(tmp_path: Path) -> None:
    async with platform(tmp_path) as (_, memory):
        for number in range(5):
            await memory.add([said(f"Number {number}.", later(number))], user_id="ann")
        every = await memory.get_all(user_id="ann")
        first = await memory.get_all(user_id="ann", top_k=2)
        rest = await memory.get_all(user_id="ann", cursor=cursor_of(first[-1]))
        assert ([*first, *rest], len(first), len(every)) == (every, 2, 5)
        only = await memory.get_all(user_id="ann", filters={"text": {"contains": "3"}})
        assert [one.text for one in only] == ["Number 3."]


async def test_many_pages_are_read_once_each(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        await memory.add([said(f"Number {n}.") for n in range(730)], user_id="ann")
        asked = len(world.asked("get_all"))
        texts = {one.text for one in await memory.get_all(user_id="ann", top_k=1000)}
        assert texts == {f"Number {n}." for n in range(730)}
        assert len(world.asked("get_all")) - asked == 8
        assert await memory.delete_all(user_id="ann") == 730


async def test_nobody_reaches_what_is_somebody_elses(tmp_path: Path) -> None:
    async with platform(tmp_path) as (_, memory):
        (mine,) = await memory.add([said(TEAL)], user_id="ann")
        id = mine.memory.id
        assert await memory.get(id, user_id="bob") is None
        assert await memory.history(id, user_id="bob") == []
        for call in (memory.update(id, user_id="bob", text="x"), memory.delete(id, user_id="bob")):
            with pytest.raises(MemoryNotFoundError):
                await call
        assert await memory.delete_all(user_id="bob") == 0
        assert await memory.owner_of(str(id)) == "ann"
        await memory.delete(id, user_id="ann")
        assert await memory.owner_of(id) == "ann"
        assert await memory.owner_of(uuid.uuid4()) is None
        assert await memory.owner_of("no such id") is None


async def test_what_an_agent_heard_of_whomever(tmp_path: Path) -> None:
    async with platform(tmp_path) as (_, memory):
        for owner in ("ann", "bob"):
            await memory.add([said(f"{owner} likes teal.")], user_id=owner, agent_id="bot")
            await memory.add([said(f"{owner} likes tea.")], user_id=owner, agent_id="tutor")
        found = await memory.search_by_agent("likes teal", agent_id="bot")
        assert {(one.memory.user_id, one.memory.text) for one in found} == {
            ("ann", "ann likes teal."),
            ("bob", "bob likes teal."),
        }
        listed = await memory.list_by_agent(agent_id="tutor")
        assert {one.text for one in listed} == {"ann likes tea.", "bob likes tea."}
        assert await memory.delete_all(user_id="ann", agent_id="bot") == 1
        assert {one.text for one in await memory.get_all(user_id="ann")} == {"ann likes tea."}


# --- bad input ---


async def test_what_means_nothing_is_said_and_nothing_is_asked(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        calls: list[tuple[Any, type[Exception]]] = [
            (memory.add([said(TEAL)], user_id="*"), InvalidIdError),
            (memory.add([said(TEAL)], user_id="ann", metadata={"send_id": "x"}), InvalidMetadataError),
            (memory.add([said(TEAL)], user_id="ann", key=""), InvalidIdError),
            (memory.search("x", user_id=""), InvalidIdError),
            (memory.search("x", user_id="ann", filters={"OR": []}), InvalidFilterError),
            (memory.search_by_agent("x", agent_id="*"), InvalidIdError),
            (memory.delete_all(user_id="*"), InvalidIdError),
            (memory.update(uuid.uuid4(), user_id="ann"), InvalidTextError),
            (memory.update("no such id", user_id="ann", text="x"), MemoryNotFoundError),
        ]
        for call, error in calls:
            with pytest.raises(error):
                await call
        assert await memory.add([said(" ")], user_id="ann") == []
        assert await memory.search(" ", user_id="ann") == []
        assert await memory.search("x", user_id="ann", top_k=-3) == []
        assert not world.cloud.requests


# --- once under a key ---


async def test_the_same_key_is_sent_once(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        (first,) = await memory.add([said(TEAL)], user_id="ann", key="write-1")
        (again,) = await memory.add([said(TEAL)], user_id="ann", key="write-1")
        assert (first.memory.id, len(world.asked("add"))) == (again.memory.id, 1)


async def test_what_takes_too_long_is_told_and_not_sent_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        world.cloud.platform.memories.extraction = Extraction(delay_s=600.0)
        async with world.memory(replace(QUICK, event_timeout_s=0.0)) as hasty:
            with pytest.raises(StillPendingError):
                await hasty.add([said(TEAL)], user_id="ann", key="write-1")
        world.cloud.platform.memories.hurry()
        (change,) = await memory.add([said(TEAL)], user_id="ann", key="write-1")
        assert (change.memory.text, len(world.asked("add"))) == (TEAL, 1)


async def test_without_a_key_it_is_waited_for(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, _):
        world.cloud.platform.memories.extraction = Extraction(delay_s=600.0)
        async with world.memory(replace(QUICK, event_timeout_s=0.0)) as memory:
            adding = asyncio.create_task(memory.add([said(TEAL)], user_id="ann"))

            async def is_looked_after() -> bool:
                return len(world.asked("event")) >= 2 or adding.done()

            await until(is_looked_after)
            world.cloud.platform.memories.hurry()
            (change,) = await adding
            assert change.memory.text == TEAL


async def test_what_the_platform_could_not_do_is_sent_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        world.cloud.platform.memories.extraction = Extraction(failures=1)
        with pytest.raises(ExtractionFailedError):
            await memory.add([said(TEAL)], user_id="ann", key="write-1")
        (change,) = await memory.add([said(TEAL)], user_id="ann", key="write-1")
        assert (change.memory.text, len(world.asked("add"))) == (TEAL, 2)


async def test_a_request_whose_answer_is_lost_is_looked_for(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        await memory.ping()
        await world.link.fail(LinkFault("cut"))
        with pytest.raises(PlatformAwayError):
            await memory.add([said(TEAL)], user_id="ann", key="write-1")
        await world.link.heal()
        (change,) = await memory.add([said(TEAL)], user_id="ann", key="write-1")
        (there,) = await memory.get_all(user_id="ann")
        assert (change.memory.id, len(world.asked("add"))) == (there.id, 1)
        await memory.delete(there.id, user_id="ann")
        assert await memory.add([said(TEAL)], user_id="ann", key="write-1") == []


async def test_a_request_that_never_arrived_is_sent_after_a_while(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        world.cloud.faults.memory = Fault(status=503, times=1)
        with pytest.raises(PlatformAwayError):
            await memory.add([said(TEAL)], user_id="ann", key="write-1")
        with pytest.raises(StillPendingError):
            await memory.add([said(TEAL)], user_id="ann", key="write-1")

        async def is_sent() -> bool:
            try:
                return bool(await memory.add([said(TEAL)], user_id="ann", key="write-1"))
            except StillPendingError:
                return False

        await until(is_sent)
        assert [one.text for one in await memory.get_all(user_id="ann")] == [TEAL]


# --- faults ---


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=500), PlatformAwayError),
        (Fault(status=429), PlatformError),
        (Fault(status=401), PlatformRefusedError),
        (Fault(mode="garbage"), PlatformAwayError),
        (Fault(mode="cut"), PlatformAwayError),
    ],
)
async def test_a_platform_that_fails_is_an_error_and_never_an_empty_answer(
    tmp_path: Path, fault: Fault, error: type[Exception]
) -> None:
    async with platform(tmp_path) as (world, memory):
        (mine,) = await memory.add([said(TEAL)], user_id="ann")
        world.cloud.faults.memory = fault
        id = mine.memory.id
        calls: list[Any] = [
            memory.search("teal", user_id="ann"),
            memory.get(id, user_id="ann"),
            memory.get_all(user_id="ann"),
            memory.history(id, user_id="ann"),
            memory.update(id, user_id="ann", text="x"),
            memory.delete(id, user_id="ann"),
            memory.delete_all(user_id="ann"),
            memory.owner_of(id),
            memory.ping(),
        ]
        for call in calls:
            with pytest.raises(error) as told:
                await call
            assert KEY not in str(told.value)


async def test_a_call_that_is_cancelled_ends_its_request(tmp_path: Path) -> None:
    async with platform(tmp_path) as (world, memory):
        await memory.ping()
        world.cloud.faults.memory = Fault(mode="stall")
        async with world.memory(replace(QUICK, search_timeout_s=60.0)) as patient:
            asking = asyncio.create_task(patient.search("teal", user_id="ann"))

            async def is_asked() -> bool:
                return patient._api._session is not None and bool(patient._api._session.connector._acquired)

            await until(is_asked)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert not patient._api._session.connector._acquired
        await world.cloud.close()

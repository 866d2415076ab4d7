"""What of a conversation becomes memory, on a whole server: what people and agents said, as it was heard, once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from firmware_sim.cloud import Fault
from firmware_sim.device import SimulatedDevice
from tests.support.edge_client import spoken
from tests.support.edge_world import EdgeWorld, edge_world, until

TEAL = "My favourite colour is teal."
REMEMBERED = "SELECT role, text FROM memory_entry ORDER BY created_at, position"
WAITING = "SELECT count(*) FROM memory_outbox WHERE state <> 'done'"


@asynccontextmanager
async def talking(dsn: str, folder: Path, **settings: Any) -> AsyncIterator[tuple[EdgeWorld, SimulatedDevice]]:
    overrides = {"selected_module.Memory": "mem0ai", **settings}
    async with edge_world(dsn, folder, overrides) as world, SimulatedDevice(world.server.ota_url) as device:
        await device.boot()
        yield world, device


async def remembered(world: EdgeWorld) -> list[tuple[str, str]]:
    """Once nothing waits any more: neither a turn to be written down nor an exchange to become memory."""

    async def is_over() -> bool:
        return await world.is_warm() and world.rows(WAITING) == [(0,)]

    await until(is_over, "everything is saved")
    return [(role, text) for role, text in world.rows(REMEMBERED)]


async def until_silent(world: EdgeWorld) -> None:
    async def is_over() -> bool:
        return await world.metric("xiaozhi_turns_total", outcome="silent") == 1

    await until(is_over, "a turn ended without an answer")


async def test_both_sides_of_an_exchange_as_they_were_heard(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path) as (world, device):
        reply = await device.say_text(TEAL)
        assert await remembered(world) == [("user", TEAL), ("assistant", reply.text)]


async def test_a_wake_word_and_its_greeting_are_not_remembered(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path, enable_greeting=True) as (world, device):
        await device.wake("你好小智")
        greeting = await device.next_reply()
        assert greeting.finished
        assert greeting.sentences
        await device.say_text(TEAL)
        assert [text for role, text in await remembered(world) if role == "user"] == [TEAL]
        assert greeting.text not in [text for _, text in await remembered(world)]


async def test_a_wake_word_that_the_recogniser_hears_is_not_remembered(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path, wakeup_words=["Good morning"]) as (world, device):
        await device.listen_start("manual")
        await device.speak(spoken("Good morning."))
        device.listen_stop()
        await until_silent(world)
        reply = await device.say_packets(spoken("Thank you."), mode="manual")
        assert (reply.stt, world.thought) == ("Thank you.", 1)
        assert [text for role, text in await remembered(world) if role == "user"] == ["Thank you."]
        assert world.rows("SELECT DISTINCT content FROM message WHERE role = 'user'") == [("Thank you.",)]


async def test_a_spoken_goodbye_is_not_remembered(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path, exit_commands=["Good morning"]) as (world, device):
        reply = await device.say_packets(spoken("Good morning."), mode="manual")
        assert reply.sentences
        await device.wait_closed()
        assert await remembered(world) == []


async def test_what_a_known_voice_says_is_its_own(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path) as (world, device):
        for speaker, phrase in (("Ann", "Thank you."), ("未知说话人", "Stop."), ("小雨", "Good morning.")):
            world.cloud.speaker = speaker
            reply = await device.say_packets(spoken(phrase), mode="manual")
            assert reply.stt == phrase
        await remembered(world)
        owners = world.rows("SELECT user_id, speaker, text FROM memory_entry WHERE role = 'user' ORDER BY created_at")
        home = owners[1][0]
        assert owners == [
            (f"{home}/person:ann", "Ann", "Thank you."),
            (home, None, "Stop."),
            (f"{home}/person:小雨", "小雨", "Good morning."),
        ]
        assert world.rows("SELECT count(DISTINCT owner_id) FROM message") == [(1,)]  # one session, one household
        asked = [
            request.body["messages"][-1]["content"] for request in world.cloud.requests if request.service == "chat"
        ]
        assert asked == ["Ann: Thank you.", "Stop.", "小雨: Good morning."]


async def test_a_goodbye_is_not_remembered(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path) as (world, device):
        await device.say_text(TEAL)
        before = await remembered(world)
        reply = await device.say_text("Goodbye!")
        assert reply.sentences
        await device.wait_closed()
        assert await remembered(world) == before


async def test_of_a_failed_turn_only_the_person_is_remembered(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path) as (world, device):
        world.cloud.faults.chat = Fault(status=500)
        reply = await device.say_text(TEAL)
        assert reply.sentences  # an apology
        assert await remembered(world) == [("user", TEAL)]


async def test_recalled_notes_that_the_model_repeats_are_not_remembered_again(
    database_dsn: str, tmp_path: Path
) -> None:
    async with talking(database_dsn, tmp_path) as (world, device):
        await device.say_text(TEAL)
        told = len(await remembered(world))
        # The model says what it was told: here the person makes it repeat a note word for word.
        await device.say_text("Repeat: [2026-11-20 09:15:30] My favourite colour is teal.")
        texts = [text for _, text in (await remembered(world))[told:]]
        assert texts
        assert not any("teal" in text or "[20" in text for text in texts)


async def test_with_memory_off_nothing_is_written(database_dsn: str, tmp_path: Path) -> None:
    async with talking(database_dsn, tmp_path) as (world, device):
        world.rows("UPDATE agent SET memory_enabled = false RETURNING id")
        await device.say_text(TEAL)
        assert await remembered(world) == []
        assert world.rows("SELECT count(*) FROM memory_outbox") == [(0,)]
        assert world.rows("SELECT count(*) FROM message") == [(2,)]  # the dialogue is another matter

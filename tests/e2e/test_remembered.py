"""The promise of the product: a device talks, hangs up, comes back, and is remembered. Nobody else is."""

import asyncio
import random
from pathlib import Path

import pytest

from firmware_sim.device import SimulatedDevice
from tests.support.facts import Fact, draw_facts
from tests.support.server_process import ServerProcess

MAC = "02:00:00:00:00:01"


def mac_of(number: int) -> str:
    return f"02:00:00:00:01:{number:02x}"


async def tell(server: ServerProcess, mac: str, *texts: str) -> list[str]:
    """One session: boot, connect, say it all, hang up as hardware does."""
    async with SimulatedDevice(server.ota_url, mac=mac) as device:
        await device.boot()
        answers = [(await device.say_text(text)).text for text in texts]
        assert not device.violations
        return answers


async def each_tells_one(server: ServerProcess, facts: list[Fact]) -> None:
    """Each fact by a household of its own, all at the same time."""
    await asyncio.gather(*(tell(server, mac_of(number), fact.statement) for number, fact in enumerate(facts)))


async def each_is_asked(server: ServerProcess, facts: list[Fact], *, neighbour: int = 0) -> list[str]:
    """In a session of its own; with `neighbour` everybody is asked what another one told."""
    asked = (
        tell(server, mac_of((number + neighbour) % len(facts)), fact.question) for number, fact in enumerate(facts)
    )
    return [answer for (answer,) in await asyncio.gather(*asked)]


@pytest.mark.parametrize("seed", [random.randrange(10**6) for _ in range(3)])
async def test_the_second_session_knows_what_the_first_was_told(tmp_path: Path, seed: int) -> None:
    facts = draw_facts(seed)
    async with ServerProcess(tmp_path) as server:
        await each_tells_one(server, facts)
        answers = await each_is_asked(server, facts)
        for fact, answer in zip(facts, answers, strict=True):
            assert fact.answer in answer, f"seed {seed}: {fact.question} {answer}"
        strangers_answers = await each_is_asked(server, facts, neighbour=1)
        for fact, answer in zip(facts, strangers_answers, strict=True):
            assert fact.answer not in answer, f"seed {seed}: another household was told"


async def test_one_person_tells_it_all_and_is_asked_for_it_all(tmp_path: Path) -> None:
    facts = draw_facts(random.randrange(10**6))
    async with ServerProcess(tmp_path) as server:
        await tell(server, MAC, *(fact.statement for fact in facts))
        answers = await tell(server, MAC, *(fact.question for fact in facts))
    for fact, answer in zip(facts, answers, strict=True):
        assert fact.answer in answer


async def test_without_memory_the_same_conversation_knows_nothing(tmp_path: Path) -> None:
    facts = draw_facts(random.randrange(10**6))
    environment = {"XIAOZHI__SELECTED_MODULE__MEMORY": "nomem"}
    async with ServerProcess(tmp_path, environment=environment) as server:
        await each_tells_one(server, facts)
        answers = await each_is_asked(server, facts)
    for fact, answer in zip(facts, answers, strict=True):
        assert fact.answer not in answer


async def test_killed_right_after_the_answers_and_still_remembered(tmp_path: Path) -> None:
    facts = draw_facts(random.randrange(10**6))
    async with ServerProcess(tmp_path) as server:
        await each_tells_one(server, facts)
        await server.kill()
    async with ServerProcess(tmp_path) as server:
        answers = await each_is_asked(server, facts)
    for fact, answer in zip(facts, answers, strict=True):
        assert fact.answer in answer


async def test_the_reply_is_real_sound_paced_for_the_device(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path) as server, SimulatedDevice(server.ota_url, mac=MAC) as device:
        await device.boot()
        reply = await device.say_text("Hello, who are you?")
    assert reply.finished
    assert reply.decode_errors == 0
    assert reply.overflows == reply.dropped == reply.unplayable == 0
    assert reply.max_outstanding <= 35
    samples = memoryview(reply.pcm).cast("h")
    assert max(samples) > 1000, "the reply is silence"
    assert reply.duration_s > 0.5


async def test_nothing_that_was_said_is_in_the_log(tmp_path: Path) -> None:
    facts = draw_facts(random.randrange(10**6))
    async with ServerProcess(tmp_path) as server:
        await each_tells_one(server, facts)
    assert f"[{mac_of(0)} " in server.log
    for fact in facts:
        assert fact.answer not in server.log
        assert fact.answer not in server.text


async def test_at_debug_the_log_shows_memory_operations(tmp_path: Path) -> None:
    environment = {"XIAOZHI__LOG__LOG_LEVEL": "DEBUG"}
    async with ServerProcess(tmp_path, environment=environment) as server:
        await tell(server, MAC, "My favourite colour is teal.", "What is my favourite colour?")
    assert "memory: recalled" in server.log
    assert "memory: saved" in server.log

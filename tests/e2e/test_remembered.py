"""The promise of the product: a device talks, hangs up, comes back, and is remembered. Nobody else is."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from firmware_sim.device import SimulatedDevice
from tests.support.facts import Fact, draw_facts
from tests.support.server_process import PATIENT, ServerProcess

MAC = "02:00:00:00:00:01"
OTHER_MAC = "02:00:00:00:00:02"

# A server takes seconds to come and go: the tests that want it as it is by default share one, and a loop with it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(tmp_path_factory.mktemp("shared"), environment=PATIENT) as server:
        yield server


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


async def test_the_second_session_knows_what_the_first_was_told(shared: ServerProcess) -> None:
    seed = random.randrange(10**6)
    facts = draw_facts(seed)
    await each_tells_one(shared, facts)
    answers = await each_is_asked(shared, facts)
    for fact, answer in zip(facts, answers, strict=True):
        assert fact.answer in answer, f"seed {seed}: {fact.question} {answer}"
    strangers_answers = await each_is_asked(shared, facts, neighbour=1)
    for fact, answer in zip(facts, strangers_answers, strict=True):
        assert fact.answer not in answer, f"seed {seed}: another household was told"


async def test_one_person_tells_it_all_and_is_asked_for_it_all(shared: ServerProcess) -> None:
    seed = random.randrange(10**6)
    facts = draw_facts(seed)
    await tell(shared, MAC, *(fact.statement for fact in facts))
    answers = await tell(shared, MAC, *(fact.question for fact in facts))
    for fact, answer in zip(facts, answers, strict=True):
        assert fact.answer in answer, f"seed {seed}: {fact.question} {answer}"


def by(speaker: str, text: str) -> str:
    """As a recogniser that knows voices sends it."""
    return json.dumps({"speaker": speaker, "content": text}, ensure_ascii=False)


async def test_each_person_of_a_household_is_told_their_own_and_everybodys(shared: ServerProcess) -> None:
    seed = random.randrange(10**6)
    anns, toms, shared_fact = draw_facts(seed)[:3]
    home = mac_of(200)
    await tell(shared, home, by("Ann", anns.statement), by("Tom", toms.statement), shared_fact.statement)
    for speaker, own, others in (("ANN", anns, toms), ("Tom", toms, anns)):
        told = await tell(shared, home, *(by(speaker, fact.question) for fact in (own, others, shared_fact)))
        assert own.answer in told[0], f"seed {seed}: {speaker} is not known any more"
        assert others.answer not in told[1], f"seed {seed}: {speaker} was told what somebody else had said"
        assert shared_fact.answer in told[2], f"seed {seed}: {speaker} was not told what everybody may know"
    for answer in await tell(shared, home, anns.question, toms.question):
        assert anns.answer not in answer, f"seed {seed}: a stranger was told"
        assert toms.answer not in answer, f"seed {seed}: a stranger was told"


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
    async with ServerProcess(tmp_path, environment=PATIENT) as server:
        await each_tells_one(server, facts)
        await server.kill()
    async with ServerProcess(tmp_path, environment=PATIENT) as server:
        answers = await each_is_asked(server, facts)
    for fact, answer in zip(facts, answers, strict=True):
        assert fact.answer in answer


async def test_the_reply_is_real_sound_paced_for_the_device(shared: ServerProcess) -> None:
    async with SimulatedDevice(shared.ota_url, mac=OTHER_MAC) as device:
        await device.boot()
        reply = await device.say_text("My dog is called Rex.")
    assert reply.finished
    assert reply.decode_errors == 0
    assert reply.overflows == reply.dropped == reply.unplayable == 0
    assert reply.max_outstanding <= 35
    samples = memoryview(reply.pcm).cast("h")
    assert max(samples) > 1000, "the reply is silence"
    assert reply.duration_s > 0.5


async def test_nothing_that_was_said_is_in_the_log(shared: ServerProcess) -> None:
    facts = draw_facts(random.randrange(10**6))
    await each_tells_one(shared, facts)
    assert f"[{mac_of(0)} " in shared.log
    for fact in facts:
        assert fact.answer not in shared.log
        assert fact.answer not in shared.text


async def test_at_debug_the_log_shows_memory_operations(tmp_path: Path) -> None:
    environment = {"XIAOZHI__LOG__LOG_LEVEL": "DEBUG", **PATIENT}
    async with ServerProcess(tmp_path, environment=environment) as server:
        await tell(server, MAC, "My favourite colour is teal.", "What is my favourite colour?")
    assert "memory: recalled" in server.log
    assert "memory: saved" in server.log

"""The same promise, spoken in and spoken out, with a model, a recogniser and a voice over real HTTP."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
import pytest_asyncio

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.device import Habits, Identity, Mode, SimulatedDevice
from firmware_sim.phrases import Fact, draw_facts
from firmware_sim.speech import speak
from tests.support.cloud_process import CloudProcess
from tests.support.server_process import PATIENT, ServerProcess

KEY = "sk-stand-in-0123456789"
MAC = "02:00:00:00:00:07"
OTHER_MAC = "02:00:00:00:00:08"
MODES: tuple[Mode, ...] = get_args(Mode)


# Limits that are out of the way of a busy machine and still end soon.
LIMITS = {
    "XIAOZHI__TURN__LLM_FIRST_TOKEN_TIMEOUT_S": "4",
    "XIAOZHI__TURN__ASR_TIMEOUT_S": "4",
    "XIAOZHI__TTS_TIMEOUT": "4",
    **PATIENT,
}

# A server takes seconds to come and go: the tests that want the cloud share one, and a loop with it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class World:
    server: ServerProcess
    cloud: CloudProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with CloudProcess("--api-key", KEY) as cloud:
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": cloud.base_url, **LIMITS}
        folder = tmp_path_factory.mktemp("shared")
        async with ServerProcess(folder, preset="openai", environment=environment) as server:
            yield World(server, cloud)


async def say(server: ServerProcess, mac: str, text: str, mode: Mode) -> tuple[str | None, str]:
    async with SimulatedDevice(server.ota_url, mac=mac) as device:
        await device.boot()
        reply = await device.say_pcm(speak(text), mode=mode)
        assert reply.finished
        assert reply.overflows == reply.unplayable == reply.decode_errors == 0
        assert max(memoryview(reply.pcm).cast("h")) > 1000, "the reply is silence"
        return reply.stt, reply.text


async def is_remembered(server: ServerProcess, fact: Fact, mode: Mode, number: int) -> None:
    mac, strangers_mac = f"02:00:00:00:02:{number:02x}", f"02:00:00:00:03:{number:02x}"
    heard, _ = await say(server, mac, fact.statement, mode)
    assert heard == fact.statement
    _, answer = await say(server, mac, fact.question, mode)
    assert fact.answer in answer, f"{mode}: {fact.question} {answer}"
    _, strangers_answer = await say(server, strangers_mac, fact.question, mode)
    assert fact.answer not in strangers_answer, f"{mode}: {fact.question} {strangers_answer}"


async def test_told_and_asked_by_voice(shared: World) -> None:
    facts = draw_facts(random.Random(), "en", len(MODES))
    before = await shared.cloud.counts()  # the server tried each part at its start
    async with asyncio.TaskGroup() as households:
        for number, (fact, mode) in enumerate(zip(facts, MODES, strict=True)):
            households.create_task(is_remembered(shared.server, fact, mode, number))
    after = await shared.cloud.counts()
    assert [after[service] - before[service] for service in ("transcription", "chat")] == [3 * len(MODES)] * 2
    assert KEY not in shared.server.text
    assert KEY not in shared.server.log
    for fact in facts:
        assert fact.answer not in shared.server.log


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        ("chat", Fault(mode="good", status=500)),
        ("chat", Fault(mode="garbage")),
        ("chat", Fault(mode="stall")),
        ("chat", Fault(mode="cut_midway")),
        ("transcription", Fault(mode="good", status=500)),
        ("transcription", Fault(mode="stall")),
        ("speech", Fault(mode="good", status=500)),
        ("speech", Fault(mode="stall")),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.mode}{value.status or ''}",
)
async def test_whatever_fails_the_device_hears_of_it_and_the_next_turn_works(
    shared: World, service: str, fault: Fault
) -> None:
    (fact,) = draw_facts(random.Random(), "en", 1)
    sound = speak(fact.statement)
    async with SimulatedDevice(shared.server.ota_url, mac=MAC, habits=Habits(mic_speed=20)) as device:
        await device.boot()
        async with shared.cloud.failing(service, fault):
            reply = await device.say_pcm(sound, mode="manual")
        assert reply.finished
        assert reply.sentences or reply.alerts
        assert reply.timings.start_s is not None
        after = await device.say_pcm(sound, mode="manual")
        assert after.stt == fact.statement
        assert after.frames > 0


async def test_a_key_without_a_preset_is_mentioned_and_not_used(tmp_path: Path) -> None:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud:
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": cloud.base_url}
        async with (
            ServerProcess(tmp_path, environment=environment) as server,
            SimulatedDevice(server.ota_url, mac=MAC) as device,
        ):
            await device.boot()
            assert (await device.say_text("My dog is called Rex.")).finished
        assert not cloud.requests
    assert "OPENAI_API_KEY" in server.text
    assert KEY not in server.text


async def is_told_what_to_set_up(server: ServerProcess, mac: str, language: str, expected: str) -> None:
    identity = Identity(mac, "client-of-the-language-test", language=language)
    async with SimulatedDevice(server.ota_url, identity=identity) as device:
        await device.boot()
        reply = await device.say_pcm(speak("Hello, can you hear me?"), mode="manual")
    assert expected in reply.text
    assert max(memoryview(reply.pcm).cast("h")) > 1000


async def test_who_speaks_without_a_recogniser_hears_in_their_language_what_to_set_up(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path) as server, asyncio.TaskGroup() as devices:
        devices.create_task(is_told_what_to_set_up(server, MAC, "en-US", "recogniser"))
        devices.create_task(is_told_what_to_set_up(server, OTHER_MAC, "zh-CN", "语音识别"))

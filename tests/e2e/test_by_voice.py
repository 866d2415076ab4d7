"""The same promise, spoken in and spoken out, with a model, a recogniser and a voice over real HTTP."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.device import Habits, Identity, Mode, SimulatedDevice
from firmware_sim.phrases import Fact, draw_facts
from firmware_sim.speech import speak
from tests.support.server_process import ServerProcess

KEY = "sk-stand-in-0123456789"
MAC = "02:00:00:00:00:07"
OTHER_MAC = "02:00:00:00:00:08"


@asynccontextmanager
async def server_with_cloud(folder: Path, facts: list[Fact]) -> AsyncIterator[tuple[ServerProcess, StandInCloud]]:
    phrases = [text for fact in facts for text in (fact.statement, fact.question)]
    async with StandInCloud(phrases=phrases, api_key=KEY) as cloud:
        await cloud.warm_up()
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": cloud.base_url}
        async with ServerProcess(folder, preset="openai", environment=environment) as server:
            yield server, cloud


async def say(server: ServerProcess, mac: str, text: str, mode: Mode) -> tuple[str | None, str]:
    async with SimulatedDevice(server.ota_url, mac=mac) as device:
        await device.boot()
        reply = await device.say_pcm(speak(text), mode=mode)
        assert reply.finished
        assert reply.overflows == reply.unplayable == reply.decode_errors == 0
        assert max(memoryview(reply.pcm).cast("h")) > 1000, "the reply is silence"
        return reply.stt, reply.text


@pytest.mark.parametrize("mode", ["auto", "manual", "realtime"])
async def test_told_and_asked_by_voice(tmp_path: Path, mode: Mode) -> None:
    seed = random.randrange(10**6)
    facts = draw_facts(random.Random(seed), "en", 3)
    fact = facts[0]
    async with server_with_cloud(tmp_path, facts) as (server, cloud):
        heard, _ = await say(server, MAC, fact.statement, mode)
        assert heard == fact.statement, f"seed {seed}"
        _, answer = await say(server, MAC, fact.question, mode)
        assert fact.answer in answer, f"seed {seed}: {fact.question} {answer}"
        _, strangers_answer = await say(server, OTHER_MAC, fact.question, mode)
        assert fact.answer not in strangers_answer, f"seed {seed}"
        assert cloud.counts["transcription"] == 3
        assert cloud.counts["chat"] == 3
    assert KEY not in server.text
    assert KEY not in server.log
    assert fact.answer not in server.log


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
    tmp_path: Path, service: str, fault: Fault
) -> None:
    facts = draw_facts(random.Random(7), "en", 2)
    async with (
        server_with_cloud(tmp_path, facts) as (server, cloud),
        SimulatedDevice(server.ota_url, mac=MAC, habits=Habits(mic_speed=20)) as device,
    ):
        await device.boot()
        sound = speak(facts[0].statement)
        setattr(cloud.faults, service, fault)
        reply = await device.say_pcm(sound, mode="manual")
        assert reply.finished
        assert reply.sentences or reply.alerts
        assert reply.timings.start_s is not None
        cloud.faults.clear()
        after = await device.say_pcm(sound, mode="manual")
        assert after.stt == facts[0].statement
        assert after.sentences


async def test_a_key_without_a_preset_is_mentioned_and_not_used(tmp_path: Path) -> None:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud:
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": cloud.base_url}
        async with (
            ServerProcess(tmp_path, environment=environment) as server,
            SimulatedDevice(server.ota_url, mac=MAC) as device,
        ):
            await device.boot()
            assert (await device.say_text("Hello")).finished
        assert not cloud.requests
    assert "OPENAI_API_KEY" in server.text
    assert KEY not in server.text


@pytest.mark.parametrize(("language", "expected"), [("en-US", "recogniser"), ("zh-CN", "语音识别")])
async def test_who_speaks_without_a_recogniser_hears_in_their_language_what_to_set_up(
    tmp_path: Path, language: str, expected: str
) -> None:
    identity = Identity(MAC, "client-of-the-language-test", language=language)
    async with ServerProcess(tmp_path) as server, SimulatedDevice(server.ota_url, identity=identity) as device:
        await device.boot()
        reply = await device.say_pcm(speak("Hello, can you hear me?"), mode="manual")
    assert expected in reply.text
    assert max(memoryview(reply.pcm).cast("h")) > 1000

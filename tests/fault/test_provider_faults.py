"""Whatever a provider does, the device hears of it within two seconds, is free again, and its next turn works.

Three servers side by side, each with one part (recogniser, model, voice) behind a link that can fail.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.cloud.faults import Service
from firmware_sim.device import Habits, Reply, SimulatedDevice
from firmware_sim.opus import encode_speech
from firmware_sim.speech import speak
from tests.support.edge_client import edge_client, quiet, spoken
from tests.support.fault_table import FaultTable
from tests.support.openai_stub import OpenAiStub, answers
from tests.support.postgres import PostgresServer
from tests.support.running_server import RunningServer, running_server
from tests.support.tcp_proxy import LinkFault, TcpProxy

Kind = Literal["ASR", "LLM", "TTS"]
KINDS: dict[Kind, Service] = {"ASR": "transcription", "LLM": "chat", "TTS": "speech"}
SAID = "Thank you."
ANSWERS: dict[Kind, tuple[str, ...]] = {
    "ASR": ("You are welcome.",),
    "LLM": ("You said:", "Thank you."),
    "TTS": ("You are welcome.",),
}
FILLER = "One moment, please."
WITHOUT: dict[Kind, tuple[str, ...]] = {
    "ASR": ("Sorry, I could not hear that properly.", "Please say it again."),
    "LLM": ("Sorry, I cannot think of an answer right now.", "Please try again in a moment."),
    "TTS": ANSWERS["TTS"],  # by the spare voice
}
# Two seconds is what is promised, and a busy machine gets half a second more. Without a word in between, whoever is
# slow or silent would leave the device waiting for longer than that.
SOUND_WITHIN_S = 2.5
LATE_S = 2.7
PATIENCE_S = 3.0
SETTINGS = {
    "turn.asr_timeout_s": PATIENCE_S,
    "turn.llm_first_token_timeout_s": PATIENCE_S,
    "turn.llm_stall_timeout_s": PATIENCE_S,
    "tts_timeout": PATIENCE_S,
    "database.pool_size": 2,
}
Faults = dict[str, LinkFault | Fault]
BROKEN: Faults = {
    "dead at connect": LinkFault("refuse"),
    "connects, then resets": LinkFault("hang_up"),
    "hangs up without an answer": Fault("cut"),
    "dead mid-stream": Fault("cut_midway"),
}
NONSENSE: Faults = {
    "garbage instead of HTTP": LinkFault("noise"),
    "garbage in the answer": Fault("garbage"),
    "an answer with nothing in it": Fault("empty"),
}
REFUSED: Faults = {
    "HTTP 401": Fault(status=401),
    "HTTP 429": Fault(status=429),
    "HTTP 500": Fault(status=500),
}
SLOW: Faults = {
    "half-open before the answer": LinkFault("freeze"),
    "half-open mid-stream": Fault("stall_midway"),
    f"slow: {LATE_S} s late": Fault(delay_s=LATE_S),
    "slow: bytes trickle": LinkFault("trickle", step_bytes=64, step_s=0.1),
}
# What is heard in noise is nothing, too: a recogniser without words is not a fault, and nobody answers.
SILENT_TURN = 'xiaozhi_turns_total{outcome="silent"} 1.0'
NOT_A_FAULT = ("ASR", "an answer with nothing in it")


@dataclass(frozen=True, slots=True)
class World:
    """One server whose `kind` of provider is in the cloud, behind a proxy; the others are the embedded ones."""

    kind: Kind
    cloud: StandInCloud
    proxy: TcpProxy
    server: RunningServer
    device: SimulatedDevice

    async def fail(self, fault: LinkFault | Fault) -> None:
        if isinstance(fault, LinkFault):
            if self.kind == "TTS":  # sound is more bytes
                fault = replace(fault, step_bytes=fault.step_bytes * 32)
            await self.proxy.fail(fault)
        else:
            setattr(self.cloud.faults, KINDS[self.kind], fault)

    async def heal(self) -> None:
        self.cloud.faults.clear()
        await self.proxy.heal()

    async def turn(self) -> Reply:
        if self.kind == "ASR":
            return await self.device.say_pcm(speak(SAID), mode="manual", timeout_s=20)
        return await self.device.say_text(SAID, timeout_s=20)

    async def say_without_an_answer(self) -> None:
        """Say it, and wait until the server knows that nobody said anything."""
        await self.device.listen_start("manual")
        await self.device.speak(encode_speech(speak(SAID)))
        self.device.listen_stop()
        async with asyncio.timeout(20):
            while SILENT_TURN not in await metrics(self.server):  # each look waits for its answer
                pass


def settings_for(kinds: Sequence[Kind], base_url: str) -> dict[str, Any]:
    entry = {"type": "openai", "base_url": base_url, "api_key": "none"}
    chosen = {f"selected_module.{kind}": "Remote" for kind in kinds}
    return {**chosen, **{f"{kind}.Remote": entry for kind in kinds}, **SETTINGS}


@asynccontextmanager
async def open_world(
    kind: Kind, dsn: str, folder: Path, *, also: Kind | None = None, before_start: LinkFault | None = None
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(StandInCloud(phrases=[SAID]))
        await cloud.warm_up()
        address = urlsplit(cloud.base_url)
        assert address.hostname is not None
        assert address.port is not None
        proxy = await stack.enter_async_context(TcpProxy(address.hostname, address.port))
        if before_start is not None:
            await proxy.fail(before_start)
        server = await stack.enter_async_context(
            running_server(dsn, folder, settings_for([kind, *([also] if also else [])], f"{proxy.url}/v1"))
        )
        device = SimulatedDevice(server.ota_url, habits=Habits(mic_speed=20))
        await device.boot()
        yield World(kind, cloud, proxy, server, await stack.enter_async_context(device))


async def metrics(server: RunningServer) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http_url}/metrics") as response:
        return await response.text()


def assert_heard_in_time(reply: Reply) -> None:
    assert reply.finished
    assert reply.sentences
    assert reply.frames > 0
    assert reply.timings.first_sound_s is not None
    assert reply.timings.first_sound_s < SOUND_WITHIN_S
    assert reply.unplayable == reply.overflows == reply.decode_errors == 0


async def live_through(world: World, how: str, fault: LinkFault | Fault, table: FaultTable) -> None:
    await world.fail(fault)
    if (world.kind, how) == NOT_A_FAULT:
        await world.say_without_an_answer()
        table.add_text(world.kind, how, "nothing: who says nothing is not answered")
    else:
        reply = await world.turn()
        table.add(world.kind, how, reply)
        assert_heard_in_time(reply)
    await works_again(world)


async def works_again(world: World) -> None:
    await world.heal()
    after = await world.turn()
    assert after.sentences == ANSWERS[world.kind]
    assert_heard_in_time(after)
    assert not world.device.violations


@pytest.mark.parametrize("faults", [BROKEN, NONSENSE, REFUSED, SLOW], ids=["broken", "nonsense", "refused", "slow"])
async def test_the_device_hears_of_it_and_the_next_turn_works(
    faults: Faults, postgres_server: PostgresServer, tmp_path: Path, fault_table: FaultTable
) -> None:
    """All faults of a sort side by side, each with its own servers: most of the time is playback."""
    cases = [(how, kind) for how in faults for kind in KINDS]
    dsns = [postgres_server.create_database() for _ in cases]
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(open_world(kind, dsn, tmp_path / str(number)))
            for number, ((_, kind), dsn) in enumerate(zip(cases, dsns, strict=True))
        ]
        tries = [
            live_through(world, how, faults[how], fault_table) for (how, _), world in zip(cases, worlds, strict=True)
        ]
        ended = await asyncio.gather(*tries, return_exceptions=True)
    for dsn in dsns:
        postgres_server.drop_database(dsn)
    failed = [(case, error) for case, error in zip(cases, ended, strict=True) if error is not None]
    assert not failed


@pytest.mark.parametrize("kind", KINDS)
async def test_a_part_that_was_never_there(
    kind: Kind, database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    """Without the voice not even the fixed phrases could be spoken ahead of time."""
    async with open_world(kind, database_dsn, tmp_path, before_start=LinkFault("refuse")) as world:
        reply = await world.turn()
        fault_table.add(kind, "dead since before the start", reply)
        assert_heard_in_time(reply)
        assert reply.sentences == WITHOUT[kind]
        await works_again(world)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_part_that_hung_from_the_start(
    kind: Kind, database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    async with open_world(kind, database_dsn, tmp_path, before_start=LinkFault("freeze")) as world:
        reply = await world.turn()
        fault_table.add(kind, "half-open since before the start", reply)
        assert_heard_in_time(reply)
        assert reply.sentences == (FILLER, *WITHOUT[kind])
        await works_again(world)


async def test_model_and_voice_fail_together(database_dsn: str, tmp_path: Path, fault_table: FaultTable) -> None:
    async with open_world("LLM", database_dsn, tmp_path, also="TTS") as world:
        await world.fail(LinkFault("refuse"))
        reply = await world.turn()
        fault_table.add("LLM and TTS", "dead at connect", reply)
        assert_heard_in_time(reply)
        assert reply.sentences == WITHOUT["LLM"]
        await works_again(world)


async def test_a_recogniser_that_answers_an_object_without_a_text(
    database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    """It is no silence: something was said, and nobody knows what."""
    async with OpenAiStub() as stub:
        stub.reply = answers(b"{}", "application/json")
        settings = settings_for(["ASR"], stub.base_url)
        async with (
            running_server(database_dsn, tmp_path, settings) as server,
            SimulatedDevice(server.ota_url, habits=Habits(mic_speed=20)) as device,
        ):
            await device.boot()
            reply = await device.say_pcm(speak(SAID), mode="manual", timeout_s=20)
            fault_table.add("ASR", "an object without a text", reply)
            assert_heard_in_time(reply)
            assert reply.sentences == WITHOUT["ASR"]
            stub.reply = answers(json.dumps({"text": SAID}).encode(), "application/json")
            after = await device.say_pcm(speak(SAID), mode="manual", timeout_s=20)
            assert after.sentences == ANSWERS["ASR"]
            assert_heard_in_time(after)


HANDS_FREE: Faults = {
    "dead at connect": LinkFault("refuse"),
    "HTTP 500": Fault(status=500),
    "half-open before the answer": LinkFault("freeze"),
}


@pytest.mark.parametrize("how", HANDS_FREE)
async def test_hands_free_it_listens_again_by_itself(
    how: str, database_dsn: str, tmp_path: Path, fault_table: FaultTable
) -> None:
    """Nobody presses a button: after the apology the microphone is open, and what is said then is understood."""
    async with open_world("ASR", database_dsn, tmp_path) as world:
        await world.fail(HANDS_FREE[how])
        reply = await world.device.say_pcm(speak(SAID), mode="auto", timeout_s=20)
        fault_table.add("ASR, hands-free", how, reply)
        assert_heard_in_time(reply)
        assert reply.sentences[-2:] == WITHOUT["ASR"]
        await world.heal()
        await world.device.wait_live()
        await world.device.speak(encode_speech(speak(SAID)))
        healed = await world.device.next_reply(timeout_s=20)
        assert healed.stt == SAID
        assert healed.sentences == ANSWERS["ASR"]
        assert_heard_in_time(healed)
        assert not world.device.violations


async def test_hands_free_it_listens_on_for_a_client_that_says_start_only_once(
    database_dsn: str, tmp_path: Path
) -> None:
    async with open_world("ASR", database_dsn, tmp_path) as world, edge_client(world.server.websocket_url) as client:
        client.listen("start", mode="auto")
        for fault in (Fault(status=500), LinkFault("refuse")):
            await world.fail(fault)
            client.send_binary(*spoken(SAID), *quiet())
            assert await client.reply() == " ".join(WITHOUT["ASR"])
            await world.heal()
            client.send_binary(*spoken(SAID), *quiet())
            assert await client.reply() == " ".join(ANSWERS["ASR"])

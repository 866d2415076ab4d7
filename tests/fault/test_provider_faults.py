"""Whatever a provider does, the device hears of it within two seconds, is free again, and its next turn works.

Three servers side by side, each with one part (recogniser, model, voice) behind a link that can fail.
"""

import asyncio
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
from tests.support.fault_table import FaultTable
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


def settings_for(kinds: Sequence[Kind], proxy: TcpProxy) -> dict[str, Any]:
    entry = {"type": "openai", "base_url": f"{proxy.url}/v1", "api_key": "none"}
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
            running_server(dsn, folder, settings_for([kind, *([also] if also else [])], proxy))
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


async def test_a_voice_that_was_never_there(database_dsn: str, tmp_path: Path, fault_table: FaultTable) -> None:
    """Not even the fixed phrases could be spoken ahead of time."""
    async with open_world("TTS", database_dsn, tmp_path, before_start=LinkFault("refuse")) as world:
        reply = await world.turn()
        fault_table.add("TTS", "dead since before the start", reply)
        assert_heard_in_time(reply)


async def test_a_voice_that_hung_from_the_start(database_dsn: str, tmp_path: Path, fault_table: FaultTable) -> None:
    async with open_world("TTS", database_dsn, tmp_path, before_start=LinkFault("freeze")) as world:
        reply = await world.turn()
        fault_table.add("TTS", "half-open since before the start", reply)
        assert_heard_in_time(reply)
        assert reply.sentences[0] == "One moment, please."


async def test_model_and_voice_fail_together(database_dsn: str, tmp_path: Path, fault_table: FaultTable) -> None:
    async with open_world("LLM", database_dsn, tmp_path, also="TTS") as world:
        await world.fail(LinkFault("refuse"))
        reply = await world.turn()
        fault_table.add("LLM and TTS", "dead at connect", reply)
        assert_heard_in_time(reply)

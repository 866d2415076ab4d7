"""Devices that do anything in any order, at a real server with a real database and a cloud that fails at times: after
ten thousand steps the server is healthy, nothing is left of them, and a good device talks as ever.

`FUZZ_SEED=… FUZZ_STEPS=…` choose another walk; the seed is printed, and shown with every failure.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
from loguru import logger

from firmware_sim.cloud.faults import Fault
from firmware_sim.device import Habits, SimulatedDevice
from tests.fuzz.random_device import Ports, RandomDevice
from tests.support.cloud_process import CloudProcess
from tests.support.leaks import fail_on_leaked_tasks, open_descriptors
from tests.support.running_server import RunningServer, running_server
from tests.support.speech import speak, uplink

SEED = int(os.environ.get("FUZZ_SEED", "20261120"))
STEPS = int(os.environ.get("FUZZ_STEPS", "10000"))
DEVICES = 10
SPOKEN = "I live in Oslo."
# What the walk may cost for good: caches of the libraries, and the fragments of the heap that it leaves.
MAX_GROWTH_MIB = 48
# Connections that the pools to the cloud and the database may have opened since the first fifth of the walk.
POOLED = 20
SETTLE_S = 10.0

CLOUD_FAULTS = (
    Fault("garbage"),
    Fault("empty"),
    Fault("cut"),
    Fault("cut_midway"),
    Fault("stall"),
    Fault(status=429),
    Fault(status=500),
)
# A device that is turned away learns nothing about what lies behind.
LIMITS: dict[str, Any] = {
    "limits.messages_per_second": 100_000,
    "limits.message_burst": 100_000,
    "limits.turns_per_minute": 100_000,
    "limits.replacements_per_minute": 100_000,
}


@contextmanager
def listening_for_errors() -> Iterator[list[str]]:
    """What the server and the loop complain about meanwhile. Nothing a device does is an error of the server's."""
    errors: list[str] = []
    loop = asyncio.get_running_loop()
    sink = logger.add(lambda message: errors.append(str(message)), level="ERROR", backtrace=False, diagnose=False)
    loop.set_exception_handler(lambda _, context: errors.append(f"loop: {context}"))
    try:
        yield errors
    finally:
        loop.set_exception_handler(None)
        logger.remove(sink)


async def metrics_of(server: RunningServer) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http_url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def readiness(server: RunningServer) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{server.http_url}/readyz") as answer:
        return answer.status


async def no_connections(server: RunningServer) -> dict[str, float]:
    async with asyncio.timeout(SETTLE_S):
        while (metrics := await metrics_of(server))["xiaozhi_connections"]:  # noqa: ASYNC110 - it is over there
            await asyncio.sleep(0.05)
    return metrics


async def talk(server: RunningServer) -> None:
    async with SimulatedDevice(server.ota_url, habits=Habits(mic_speed=20)) as device:
        await device.boot()
        typed = await device.say_text("Hello.")
        assert typed.finished
        spoken = await device.say_pcm(speak(SPOKEN).tobytes(), mode="manual")
        assert spoken.finished
        assert spoken.frames
        assert not device.violations


async def keep_the_cloud_moody(cloud: CloudProcess, random: Random) -> None:
    while True:
        async with cloud.failing(random.choice(["chat", "transcription", "speech"]), random.choice(CLOUD_FAULTS)):
            await asyncio.sleep(random.choice([0.2, 0.5]))


async def walk(cloud: CloudProcess, devices: list[RandomDevice], steps: int) -> None:
    mood = asyncio.create_task(keep_the_cloud_moody(cloud, Random(SEED)))
    try:
        await asyncio.gather(*(device.walk(steps // DEVICES) for device in devices))
    finally:
        mood.cancel()
        await asyncio.wait([mood])


def resident_mib() -> float:
    status = Path("/proc/self/statm")
    pages = int(status.read_text().split()[1]) if status.is_file() else 0
    return pages * 4096 / 2**20


def report(devices: list[RandomDevice]) -> Counter[str]:
    done = sum((device.done for device in devices), Counter[str]())
    heard = sum((device.totals for device in devices), Counter[str]())
    sys.stdout.write(f"\nseed {SEED}: {done.total()} steps: {dict(done.most_common())}\n")
    sys.stdout.write(f"heard: {dict(heard.most_common())}\n")
    return heard


async def test_after_ten_thousand_random_steps_nothing_is_left_and_a_good_device_talks(
    database_dsn: str, tmp_path: Path
) -> None:
    speech = uplink(speak(SPOKEN))
    macs = [f"02:00:00:00:07:{number:02x}" for number in range(DEVICES * 2)]
    async with CloudProcess("--api-key", "key-of-a-walk") as cloud:
        environment = {"OPENAI_API_KEY": "key-of-a-walk", "OPENAI_BASE_URL": cloud.base_url}
        async with running_server(database_dsn, tmp_path, LIMITS, preset="openai", environment=environment) as server:
            ports = Ports(server.websocket_port, server.http_port)
            devices = [RandomDevice(Random(f"{SEED} {number}"), ports, speech, macs) for number in range(DEVICES)]
            await talk(server)
            await no_connections(server)
            tasks = asyncio.all_tasks()
            with listening_for_errors() as errors:
                await walk(cloud, devices, STEPS // 5)
                await no_connections(server)
                size_mib, descriptors = resident_mib(), open_descriptors()
                await walk(cloud, devices, STEPS - STEPS // 5)
                metrics = await no_connections(server)
                grown_mib = resident_mib() - size_mib
                heard = report(devices)
                sys.stdout.write(f"grown by {grown_mib:.1f} MiB\n")
                await talk(server)
            await no_connections(server)
            assert await readiness(server) == 200
            assert not errors
            assert not [wrong for device in devices for wrong in device.wrongs]
            assert not [name for name in metrics if 'reason="failed' in name], "an exception while reading a message"
            assert grown_mib < MAX_GROWTH_MIB
            await fail_on_leaked_tasks(tasks, beside_a_pool=True)
            assert len(open_descriptors()) <= len(descriptors) + POOLED, "more than the pools' own"
    assert heard["hello"] and heard["tts start"] and heard["stt"] and heard["sound"], "the walk never got anywhere"

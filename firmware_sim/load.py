"""Many devices in one process, talking at an even pace: how soon they hear an answer, and what they miss of it."""

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from firmware_sim.device import Habits, Mode, Reply, SimulatedDevice
from firmware_sim.errors import FirmwareError
from firmware_sim.opus import encode_speech
from firmware_sim.speech import speak

LoadMode = Literal["auto", "manual", "realtime", "idle"]
Progress = Callable[[str], None]
Step = Callable[[SimulatedDevice], Coroutine[None, None, None]]

# About 2.2 seconds of speech.
PHRASE = "Please tell me what you know about my favourite colour."
CONNECT_AT_ONCE = 100
# Nobody wakes a device in the moment in which it has booted.
SETTLE_S = 1.0
REPLY_TIMEOUT_S = 60.0
PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Every device takes its turns at random moments within periods of `period_s`, so that they are spread evenly."""

    ota_url: str
    devices: int
    turns: int = 3
    mode: LoadMode = "manual"
    period_s: float = 10.0
    idle_s: float = 10.0
    phrase: str = PHRASE


@dataclass(slots=True)
class LoadResult:
    hello_ms: list[float] = field(default_factory=list)
    first_audio_ms: list[float] = field(default_factory=list)
    frames: int = 0
    underruns: int = 0
    underrun_ms: float = 0
    lost_frames: int = 0
    turns: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, reply: Reply) -> None:
        self.turns += 1
        self.frames += reply.frames
        self.underruns += reply.underruns
        self.underrun_ms += reply.underrun_ms
        self.lost_frames += reply.overflows + reply.dropped + reply.unplayable
        if reply.timings.first_audio_s is None:
            self.failures["no sound"] += 1
        else:
            self.first_audio_ms.append(reply.timings.first_audio_s * 1000)

    def report(self, plan: LoadPlan) -> dict[str, Any]:
        return {
            **asdict(plan),
            "turns_done": self.turns,
            "hello_ms": percentiles(self.hello_ms),
            "first_audio_ms": percentiles(self.first_audio_ms),
            "frames": self.frames,
            "underruns": self.underruns,
            "underrun_ms": round(self.underrun_ms, 1),
            "lost_frames": self.lost_frames,
            "failures": dict(self.failures),
        }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum, rounded; empty where there is nothing."""
    if not values:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
    chosen = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(values)}
    return {name: round(value, 1) for name, value in chosen.items()}


async def paced(turns: int, period_s: float) -> AsyncIterator[None]:
    """Comes at a random moment, then every `period_s`: many who wait so are spread evenly."""
    loop = asyncio.get_running_loop()
    due_s = loop.time() + random.uniform(0, period_s)
    for _ in range(turns):
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        due_s += period_s
        yield


class Load:
    """Connects all devices, lets them talk, hangs them up."""

    def __init__(self, plan: LoadPlan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._result = LoadResult()
        self._connecting = asyncio.Semaphore(CONNECT_AT_ONCE)

    async def run(self) -> LoadResult:
        plan = self._plan
        packets = encode_speech(speak(plan.phrase)) if plan.mode != "idle" else []
        devices = [self._new_device(number) for number in range(plan.devices)]
        reporter = asyncio.create_task(self._report())
        try:
            connected = await self._all_connected(devices)
            self._progress(f"{len(connected)} of {plan.devices} devices are connected")
            if plan.mode == "idle":
                await asyncio.sleep(plan.idle_s)
            else:
                await asyncio.gather(*(self._talk(device, packets, plan.mode) for device in connected))
        finally:
            reporter.cancel()
            await asyncio.gather(*(device.hang_up() for device in devices))
        return self._result

    def _new_device(self, number: int) -> SimulatedDevice:
        mac = ":".join(f"{byte:02x}" for byte in (2, 1, *number.to_bytes(4, "big")))
        return SimulatedDevice(self._plan.ota_url, mac=mac, habits=Habits(mcp=False))

    async def _all_connected(self, devices: Iterable[SimulatedDevice]) -> list[SimulatedDevice]:
        """All boot before the first connects: a hello is not to wait for somebody else's start."""
        booted = await self._each(self._boot, devices)
        await asyncio.sleep(SETTLE_S)
        return await self._each(self._connect, booted)

    async def _each(self, step: Step, devices: Iterable[SimulatedDevice]) -> list[SimulatedDevice]:
        done = await asyncio.gather(*(self._attempt(step, device) for device in devices))
        return [device for device in done if device is not None]

    async def _attempt(self, step: Step, device: SimulatedDevice) -> SimulatedDevice | None:
        async with self._connecting:
            try:
                await step(device)
            except (FirmwareError, OSError) as error:
                self._result.failures[f"{step.__name__.strip('_')}: {type(error).__name__}"] += 1
                return None
        return device

    async def _boot(self, device: SimulatedDevice) -> None:
        await device.boot()

    async def _connect(self, device: SimulatedDevice) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await device.connect()
        self._result.hello_ms.append((loop.time() - began) * 1000)

    async def _talk(self, device: SimulatedDevice, packets: Sequence[bytes], mode: Mode) -> None:
        async for _ in paced(self._plan.turns, self._plan.period_s):
            try:
                self._result.add(await device.say_packets(packets, mode=mode, timeout_s=REPLY_TIMEOUT_S))
            except (FirmwareError, OSError) as error:
                self._result.failures[f"turn: {type(error).__name__}"] += 1

    async def _report(self) -> None:
        expected = self._plan.devices * self._plan.turns
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            failures = sum(self._result.failures.values())
            self._progress(f"{self._result.turns} of {expected} turns, {failures} failures")

"""A device's microphone on a virtual clock, for tests of hearing: packets at their cadence, events with their time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xiaozhi_server.core.audio.opus import packet_samples
from xiaozhi_server.core.hearing.events import HearingEvent, NothingHeard, SpeechStarted, UtteranceEnded
from xiaozhi_server.core.hearing.hearing import Hearing
from xiaozhi_server.core.hearing.listener import Listener
from xiaozhi_server.core.hearing.options import HearingOptions
from xiaozhi_server.core.providers.vad.base import Vad

# One byte of a 60 ms packet: what a device sends in silence.
DTX_PACKET = bytes([11 << 3])
# A deadline for what the executor really does while the virtual clock jumps.
SETTLE_S = 5.0


@dataclass
class Microphone:
    hearing: Hearing
    events: list[HearingEvent] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    answer: Callable[[HearingEvent], None] | None = None  # what the connection does about an event, at once

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self.listener = Listener(self.hearing, self.note)

    def note(self, event: HearingEvent) -> None:
        self.events.append(event)
        self.times_s.append(asyncio.get_running_loop().time())
        self._changed.set()
        if self.answer is not None:
            self.answer(event)

    async def send(self, packets: Sequence[bytes]) -> None:
        """In real time: each packet when its sound has been spoken."""
        for packet in packets:
            await asyncio.sleep((packet_samples(packet) or 960) / 16_000)
            self.listener.feed(packet)

    async def send_at_once(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            self.listener.feed(packet)

    async def event(self, number: int) -> HearingEvent:
        async with asyncio.timeout(SETTLE_S):
            while len(self.events) <= number:
                self._changed.clear()
                await self._changed.wait()
        return self.events[number]

    @property
    def utterances(self) -> list[UtteranceEnded]:
        return [event for event in self.events if isinstance(event, UtteranceEnded)]

    @property
    def kinds(self) -> list[str]:
        return [_kind(event) for event in self.events]


def _kind(event: HearingEvent) -> str:
    if isinstance(event, SpeechStarted):
        return "started"
    return f"nothing: {event.reason}" if isinstance(event, NothingHeard) else event.reason


def sound_of(utterance: UtteranceEnded) -> NDArray[np.int16]:
    return np.frombuffer(utterance.pcm, np.int16)


@asynccontextmanager
async def microphone(vad: Vad, options: HearingOptions | None = None) -> AsyncIterator[Microphone]:
    with ThreadPoolExecutor(2) as executor:
        hearing = Hearing(vad, executor, options)
        device = Microphone(hearing)
        try:
            yield device
        finally:
            await device.listener.close()
            await hearing.close()

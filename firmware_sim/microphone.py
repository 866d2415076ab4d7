"""The live microphone: one packet each frame on an absolute clock, what is to be said first, silence otherwise."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from firmware_sim.errors import ChannelClosedError
from firmware_sim.opus import quiet_packet


class Microphone:
    """Sends through `send`, which must not block; `speed` above 1 is for tests that cannot wait."""

    def __init__(
        self, send: Callable[[bytes], None], *, frame_ms: int = 60, warm_up_s: float = 0.12, speed: float = 1.0
    ) -> None:
        self._send = send
        self._frame_ms = frame_ms
        self._frame_s = frame_ms / 1000 / speed
        self._warm_up_s = warm_up_s / speed
        self._queue: deque[bytes] = deque()
        self._live = asyncio.Event()
        self._spoken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._quiet_frames = 0
        self.last_spoken_at_s = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it runs, or will as soon as what is being played has ended."""
        return self._task is not None and not self._task.done()

    def switch_on(self, announce: Callable[[], None], *, wait_s: float = 0) -> None:
        """After the wait `announce` tells the server, and the sound follows."""
        self.switch_off()
        self._task = asyncio.create_task(self._run(announce, wait_s))

    def switch_off(self) -> None:
        """What was not said yet is thrown away, and whoever waits for it is released."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._release()

    async def live(self) -> None:
        """Wait until the server was told, or it was switched off instead."""
        await self._live.wait()

    async def speak(self, packets: Iterable[bytes]) -> None:
        """Say the packets; returns when the last one went out, or when it was switched off."""
        if not self.is_on:
            raise ChannelClosedError("the microphone is off")
        await self.live()
        self._queue.extend(packets)
        if self._queue and self.is_on:
            self._spoken.clear()
            await self._spoken.wait()

    def _release(self) -> None:
        self._queue.clear()
        self._spoken.set()
        # Those who wait hold the old event; the next start has one of its own.
        self._live.set()
        self._live = asyncio.Event()

    async def _run(self, announce: Callable[[], None], wait_s: float) -> None:
        await asyncio.sleep(max(0.0, wait_s))
        try:
            announce()
            self._live.set()
            await asyncio.sleep(self._warm_up_s)
            await self._stream()
        except ChannelClosedError:
            self._release()

    async def _stream(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            self._send(self._next_packet(loop.time()))
            due_s += self._frame_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))

    def _next_packet(self, now_s: float) -> bytes:
        if not self._queue:
            self._quiet_frames += 1
            return quiet_packet(self._quiet_frames - 1, self._frame_ms)
        self._quiet_frames = 0
        self.last_spoken_at_s = now_s
        packet = self._queue.popleft()
        if not self._queue:
            self._spoken.set()
        return packet

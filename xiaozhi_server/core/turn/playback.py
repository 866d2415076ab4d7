"""Sends Opus packets at the pace at which a device plays them, all devices by one timer, and knows what was played.

A device has no jitter buffer and a queue of 40 packets: it is kept a few frames ahead on an absolute clock, never more.
Knows packets and marks between them, nothing of texts or turns.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count

from .output import DeviceOutput

# All streams that are due within one grain are served by one wake-up. A sixth of a frame is lost in the lead.
GRAIN_S = 0.01
# A packet may go this much early, so that a time which fell between two slots is never waited for twice.
EARLY_S = 0.6 * GRAIN_S
TIMESTAMP_MASK = 0xFFFF_FFFF

Mark = Callable[[], None]


class PacedStream:
    """What one turn plays. Frame n is heard at `origin + n * frame`; the origin moves when the device ran dry."""

    def __init__(self, pacer: "Pacer", output: DeviceOutput, frame_s: float, lead_frames: int) -> None:
        self._pacer = pacer
        self._output = output
        self._frame_s = frame_s
        self._lead_frames = lead_frames
        self._items: deque[bytes | Mark] = deque()
        self._origin = 0.0
        self._sent = 0
        self._pumping = False
        self._scheduled = False
        self._closed = False

    @property
    def sent_frames(self) -> int:
        return self._sent

    def played_frames(self) -> int:
        """How many frames the device has played to their end, as far as the clock can tell."""
        if not self._sent:
            return 0
        elapsed = asyncio.get_running_loop().time() - self._origin
        return min(self._sent, int(elapsed / self._frame_s + 1e-6))

    def ends_at(self) -> float:
        """The loop's time at which everything that was sent so far has been heard."""
        return self._origin + self._sent * self._frame_s

    def add(self, packets: Iterable[bytes]) -> None:
        """Queue packets; what the lead allows goes out before this returns."""
        self._items.extend(packets)
        self._pump()

    def mark(self, callback: Mark) -> None:
        """Call back as soon as everything queued before has been sent."""
        self._items.append(callback)
        self._pump()

    def close(self) -> None:
        """Nothing more goes out, no mark is called."""
        self._closed = True
        self._items.clear()

    def on_time(self) -> None:
        """The pacer's timer reached this stream."""
        self._scheduled = False
        self._pump()

    def _pump(self) -> None:
        if self._pumping or self._closed:  # a mark may add more: the pump that called it goes on with that
            return
        self._pumping = True
        try:
            self._send_what_is_due(asyncio.get_running_loop().time())
        finally:
            self._pumping = False
        if self._items and not self._scheduled and not self._closed:
            self._scheduled = True
            self._pacer.call_at(self._due_at(), self)

    def _send_what_is_due(self, now: float) -> None:
        items = self._items
        while items:
            item = items[0]
            if isinstance(item, bytes):
                if self._sent and self._due_at() > now + EARLY_S:
                    return
                items.popleft()
                self._send(item, now)
            else:
                items.popleft()
                item()

    def _due_at(self) -> float:
        return self._origin + (self._sent - self._lead_frames + 1) * self._frame_s

    def _send(self, packet: bytes, now: float) -> None:
        heard_at = self._origin + self._sent * self._frame_s
        if not self._sent or now > heard_at:
            self._origin += now - heard_at
            heard_at = now
        self._sent += 1
        self._output.send_audio(packet, int(heard_at * 1000) & TIMESTAMP_MASK or 1)


class Pacer:
    """One timer for all streams of a process. Costs nothing while nobody speaks."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, PacedStream]] = []
        self._order = count()
        self._timer: asyncio.Handle | None = None
        self._wakes_at = math.inf

    def open(self, output: DeviceOutput, *, frame_ms: int, lead_frames: int) -> PacedStream:
        return PacedStream(self, output, frame_ms / 1000, lead_frames)

    def call_at(self, when: float, stream: PacedStream) -> None:
        slot = math.ceil(when / GRAIN_S) * GRAIN_S
        heapq.heappush(self._due, (slot, next(self._order), stream))
        if slot < self._wakes_at:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._wakes_at = None, math.inf
        if self._due:
            self._wakes_at = self._due[0][0]
            self._timer = asyncio.get_running_loop().call_at(self._wakes_at, self._tick)

    def _tick(self) -> None:
        due = self._due
        horizon = asyncio.get_running_loop().time() + GRAIN_S / 2
        self._wakes_at = -math.inf  # streams that come back are armed for once, at the end
        try:
            while due and due[0][0] <= horizon:
                heapq.heappop(due)[2].on_time()
        finally:
            self._arm()

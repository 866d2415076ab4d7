"""One connection's ear: packets in, utterances out. It owns the order of things and the clock of one device.

It runs on the event loop without a task of its own and never blocks: sound is decoded and scored in `Hearing`'s lanes,
one job of this device at a time, and every result that belongs to an earlier recording is dropped.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from ..audio.opus import packet_samples
from .arrivals import Arrivals
from .events import SAMPLE_RATE, EndReason, HearingEvent, ListenMode, NothingHeard, SpeechStarted, UtteranceEnded
from .hearing import Hearing
from .recording import LAST_STRETCH_MS, Recording, VoicedRecording, WholeRecording
from .stream import Heard, SoundStream

# How soon to look again at a gap while sound is still being worked on.
_BACKLOG_LOOK_S = 0.05

__all__ = ["Listener", "NothingHeard", "SpeechStarted", "UtteranceEnded"]


class Listener:
    """`on_event` is called on the loop, at times from within `feed` or `stop`, and may call any method here.

    In auto and realtime mode it goes on listening after an utterance, until `pause`, `stop` or `start`.
    """

    def __init__(self, hearing: Hearing, on_event: Callable[[HearingEvent], None]) -> None:
        self._hearing = hearing
        self._options = hearing.options
        self._on_event = on_event
        self._mode: ListenMode | None = None
        self._paused = False
        self._closed = False
        self._in_flight = False
        self._finishing: EndReason | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._queue: deque[tuple[bytes, int]] = deque()
        self._arrivals = Arrivals(self._options)
        self._begin()

    @property
    def mode(self) -> ListenMode | None:
        """What the device asked for last; None before that and after a stop."""
        return self._mode

    @property
    def listening(self) -> bool:
        return self._mode is not None and not self._paused and self._finishing is None

    def start(self, mode: ListenMode) -> None:
        """The device's microphone is live. While already listening: begin again."""
        if self._closed:
            return
        self._mode = mode
        self._paused = False
        self._begin()
        if mode == "manual":
            self._set_timer("cap", self._options.manual_cap_s, partial(self.finish, "cap"))

    def stop(self) -> None:
        """The device ended the recording. One of UtteranceEnded and NothingHeard follows, here or very soon."""
        if self._paused:
            self._mode = None
        self.finish("stop")

    def finish(self, reason: EndReason) -> None:
        """Work off what has been fed, then end the recording. What comes meanwhile is discarded."""
        if self.listening:
            self._finishing = reason
            self._release_burst()
            self._advance()

    def pause(self) -> None:
        """Half duplex: the server begins to speak. What was heard so far is dropped, so is all until `resume`."""
        self._paused = True
        self._begin()

    def resume(self) -> None:
        """Hear again in the mode from before the pause. A recording needs a new `start` of the device."""
        if not self._paused:
            return
        self._paused = False
        if self._mode == "manual":
            self._mode = None

    def discard_wake_burst(self) -> None:
        """A wake word was reported: the sound that came with it is no utterance. Live sound goes on being heard."""
        if self._mode != "manual" and self._finishing is None:
            self._begin()

    def feed(self, packet: bytes) -> None:
        """One Opus packet; an empty one is a browser's way to end a recording."""
        counters = self._hearing.counters
        if not self.listening:
            counters.discarded += 1
        elif not packet:
            self._end_of_recording()
        else:
            self._feed_sound(packet)

    async def close(self) -> None:
        self._closed = True
        self._mode = None
        self._begin()

    def _feed_sound(self, packet: bytes) -> None:
        counters = self._hearing.counters
        samples = packet_samples(packet)
        if samples is None or len(packet) > self._options.max_packet_bytes:
            counters.corrupt += 1
            return
        counters.heard += 1
        self._enqueue(packet, samples)
        self._advance()

    def _begin(self) -> None:
        """Forget the sound so far; the decoder goes with it and comes back with the next packet."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queue.clear()
        self._queued_samples = 0
        self._fed_samples = 0
        self._finishing = None
        self._stream = SoundStream()
        self._recording = self._new_recording()
        self._arrivals.reset()

    def _new_recording(self) -> Recording:
        if self._mode == "manual":
            return WholeRecording(self._options)
        return VoicedRecording(self._options, self._hearing.window_samples, eager=self._mode == "realtime")

    @property
    def _queued_ms(self) -> int:
        return self._queued_samples * 1000 // SAMPLE_RATE

    def _enqueue(self, packet: bytes, samples: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._arrivals.note(now, samples) and self._mode != "manual":
            self._set_timer("burst", self._options.burst_hold_ms / 1000, self._burst_is_over)
        self._queue.append((packet, samples))
        self._queued_samples += samples
        self._fed_samples += samples
        while self._queued_ms > self._options.queue_ms:
            self._queued_samples -= self._queue.popleft()[1]
            self._hearing.counters.overflowed += 1

    def _release_burst(self) -> None:
        self._cancel_timer("burst")
        self._arrivals.release()

    def _burst_is_over(self) -> None:
        self._release_burst()
        self._advance()

    def _end_of_recording(self) -> None:
        if self._mode == "manual":
            if self._fed_samples * 1000 // SAMPLE_RATE >= self._options.min_manual_ms:
                self.finish("empty_frame")
        elif self._recording.speaking or self._queue or self._in_flight:
            self.finish("empty_frame")

    def _advance(self) -> None:
        """Give the next piece of work to its lane, or end the recording when there is none left."""
        if self._in_flight:
            return
        if self._queue:
            if self._is_due():
                self._submit()
        elif self._finishing is not None:
            self._end(self._finishing)

    def _is_due(self) -> bool:
        if self._finishing is not None:
            return True
        return "burst" not in self._timers and self._recording.is_due(self._queued_ms)

    def _submit(self) -> None:
        count = min(len(self._queue), self._hearing.job_packets)
        taken = [self._queue.popleft() for _ in range(count)]
        self._queued_samples -= sum(samples for _, samples in taken)
        self._in_flight = True
        self._hearing.submit(
            self._stream,
            [packet for packet, _ in taken],
            partial(self._take, self._recording),
            scored=self._mode != "manual",
            urgent=self._finishing is not None,
        )

    def _take(self, recording: Recording, heard: Heard | None) -> None:
        self._in_flight = False
        if heard is not None and recording is self._recording:
            self._hearing.counters.corrupt += heard.corrupt
            self._listen_to(recording, heard)
        self._advance()

    def _listen_to(self, recording: Recording, heard: Heard) -> None:
        for event in recording.add(heard):
            if isinstance(event, UtteranceEnded) and event.reason == "cap":
                self._hearing.counters.capped += 1
            self._on_event(event)
            if recording is not self._recording:
                return  # the connection has decided otherwise: the rest belongs to nobody
        if recording.is_full:
            self.finish("cap")
        if recording.speaking and "gap" not in self._timers:
            self._set_timer("gap", self._options.gap_ms / 1000, self._look_for_gap)
        self._watch_patience()

    def _watch_patience(self) -> None:
        """Sound comes in packets, patience does not: it may run out before the next packet is there."""
        self._cancel_timer("patience")
        left_ms = self._recording.patience_left_ms
        if left_ms is None:
            return
        left_ms -= self._stream.rest.size * 1000 / SAMPLE_RATE
        if left_ms <= LAST_STRETCH_MS:
            self._set_timer("patience", max(0.0, left_ms / 1000), self._patience_is_over)

    def _patience_is_over(self) -> None:
        if self._queue or self._in_flight or self._finishing is not None:
            return  # what has come meanwhile decides
        event = self._recording.end("silence", self._stream.rest[:0])
        if isinstance(event, UtteranceEnded):
            self._on_event(event)

    def _look_for_gap(self) -> None:
        """An utterance also ends by the wall clock: a device that lost its network sends no silence."""
        del self._timers["gap"]
        if not self._recording.speaking or self._finishing is not None:
            return
        left_s = self._options.gap_ms / 1000 - self._arrivals.quiet_s(asyncio.get_running_loop().time())
        if left_s > 0 or self._in_flight or self._queue:
            self._set_timer("gap", max(left_s, _BACKLOG_LOOK_S), self._look_for_gap)
            if left_s <= 0 and not self._in_flight:
                self._submit()  # the beginning of a handful that will not be filled
            return
        event = self._recording.end("gap", self._stream.rest)
        self._stream = SoundStream()
        if isinstance(event, UtteranceEnded):
            self._on_event(event)

    def _end(self, reason: EndReason) -> None:
        self._hearing.counters.capped += reason == "cap"
        event = self._recording.end(reason, self._stream.rest)
        browser_goes_on = reason == "empty_frame" and self._mode != "manual"
        if not browser_goes_on:
            self._mode = None
        self._begin()
        if isinstance(event, UtteranceEnded) or reason != "empty_frame":
            self._on_event(event)

    def _set_timer(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        self._cancel_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, callback)

    def _cancel_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

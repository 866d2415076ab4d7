"""Turns a voice's bytes into Opus packets, in the executor and in as few calls as the stream allows.

The first call is small, so that the first packet is there soon; while a call is under way the next bytes gather.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

from ..audio.decode import AudioDecoder
from ..audio.opus import OpusEncoder
from ..errors import NonsenseError
from ..providers.tts.base import AudioFormat

FIRST_SLICE_MS: Final = 240
SLICE_MS: Final = 3_000
# Compressed sound says nothing of its length: these are about a third of a second and two seconds of common MP3.
FIRST_COMPRESSED_BYTES: Final = 4_096
COMPRESSED_BYTES: Final = 32_768

Deliver = Callable[[list[bytes]], None]


class _Codec:
    """The blocking part, made and used in the executor, never by two calls at a time."""

    def __init__(self, source: AudioFormat, sample_rate: int, frame_ms: int) -> None:
        self._source = source
        self._sample_rate = sample_rate
        self._frame_ms = frame_ms
        self._parts: tuple[AudioDecoder, OpusEncoder] | None = None

    def press(self, data: bytes, is_last: bool) -> list[bytes]:
        if self._parts is None:
            decoder = AudioDecoder(self._source.codec, self._source.sample_rate, self._sample_rate)
            self._parts = (decoder, OpusEncoder(self._sample_rate, self._frame_ms))
        decoder, encoder = self._parts
        packets = encoder.encode(decoder.feed(data)) if data else []
        if is_last:
            packets += encoder.encode(decoder.finish())
            packets += encoder.flush()
        return packets


class FramePress:
    """The sound of one sentence. `deliver` gets the packets on the loop, in order, until `close`."""

    def __init__(
        self,
        executor: Executor,
        source: AudioFormat,
        *,
        sample_rate: int,
        frame_ms: int,
        max_packets: int,
        deliver: Deliver,
    ) -> None:
        self._executor = executor
        self._codec = _Codec(source, sample_rate, frame_ms)
        self._slice_bytes, self._later_slice_bytes = _slice_sizes(source)
        self._max_packets = max_packets
        self._deliver = deliver
        self._pending = bytearray()
        self._made = 0
        self._is_ending = False
        self._is_closed = False
        self._job: asyncio.Future[list[bytes]] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def feed(self, data: bytes) -> None:
        """Take some bytes; raises what went wrong with earlier ones."""
        if self._ended.done():
            self._ended.result()
        self._pending += data
        if self._job is None and self._pending:
            self._start_job()

    async def finish(self) -> None:
        """There are no more bytes: wait until the last packet has been delivered."""
        self._is_ending = True
        if self._job is None and not self._ended.done():
            self._start_job()
        await self._ended

    def close(self) -> None:
        """Deliver nothing more. A call that is under way ends unheard."""
        self._is_closed = True
        if not self._ended.done():
            self._ended.cancel()
        elif not self._ended.cancelled():
            self._ended.exception()  # has been seen, even if nobody asked

    def _start_job(self) -> None:
        data = bytes(self._pending[: self._slice_bytes])
        del self._pending[: self._slice_bytes]
        self._slice_bytes = self._later_slice_bytes
        is_last = self._is_ending and not self._pending
        loop = asyncio.get_running_loop()
        self._job = loop.run_in_executor(self._executor, self._codec.press, data, is_last)
        self._job.add_done_callback(self._pressed_last if is_last else self._pressed)

    def _pressed(self, job: asyncio.Future[list[bytes]]) -> None:
        if self._take(job) and (self._pending or self._is_ending):
            self._start_job()

    def _pressed_last(self, job: asyncio.Future[list[bytes]]) -> None:
        if self._take(job):
            self._ended.set_result(None)

    def _take(self, job: asyncio.Future[list[bytes]]) -> bool:
        """Hand the packets on; False: the work ends here."""
        self._job = None
        error = None if job.cancelled() else job.exception()
        if self._is_closed or self._ended.done() or job.cancelled():
            return False
        if error is None:
            packets = job.result()
            self._made += len(packets)
            error = NonsenseError("tts", "endless sound") if self._made > self._max_packets else None
        if error is not None:
            self._ended.set_exception(error)
            return False
        if packets:
            self._deliver(packets)
        return not self._is_closed


def _slice_sizes(source: AudioFormat) -> tuple[int, int]:
    if source.codec not in ("pcm", "wav"):
        return FIRST_COMPRESSED_BYTES, COMPRESSED_BYTES
    bytes_per_ms = source.sample_rate * 2 / 1000
    return (_even(bytes_per_ms * FIRST_SLICE_MS), _even(bytes_per_ms * SLICE_MS))


def _even(size: float) -> int:
    """Never half a sample."""
    return int(size) // 2 * 2

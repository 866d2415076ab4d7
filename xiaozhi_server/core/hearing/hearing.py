"""What all devices' listeners share: the detector, two lanes into the executor, and the counters."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from ..providers.vad.base import Vad
from .events import SAMPLE_RATE
from .lane import BatchLane
from .options import HearingOptions
from .stream import Heard, SoundStream, StreamJob, decode_all, decode_and_score

# Keeps one executor call within some five milliseconds.
_MAX_BATCH_PACKETS = 32
_JOB_PACKETS = 16  # of one device in one job: a backlog goes in pieces, so that nobody waits behind it


@dataclass(slots=True)
class HearingCounters:
    """Since the start of the process, in packets where nothing else is said."""

    heard: int = 0
    discarded: int = 0  # came while nobody listened: a wake burst, stale frames after a stop
    overflowed: int = 0
    corrupt: int = 0
    capped: int = 0  # utterances, not packets: cut off at the longest that is allowed


class Hearing:
    """One for the process. Recordings have a lane of their own: they never wait for voice activity."""

    def __init__(self, vad: Vad, executor: Executor, options: HearingOptions | None = None) -> None:
        if vad.sample_rate != SAMPLE_RATE:
            raise ValueError(f"the detector wants {vad.sample_rate} Hz, devices send {SAMPLE_RATE}")
        self.options = options or HearingOptions()
        self.counters = HearingCounters()
        self.window_samples = vad.window_samples
        self._decoding: BatchLane[StreamJob, Heard] = BatchLane(executor, decode_all, _MAX_BATCH_PACKETS)
        self._scoring: BatchLane[StreamJob, Heard] = BatchLane(
            executor, partial(decode_and_score, vad), _MAX_BATCH_PACKETS
        )

    @property
    def batches(self) -> int:
        return self._decoding.batches + self._scoring.batches

    @property
    def job_packets(self) -> int:
        return _JOB_PACKETS

    def submit(
        self,
        stream: SoundStream,
        packets: Sequence[bytes],
        deliver: Callable[[Heard | None], None],
        *,
        scored: bool,
        urgent: bool,
    ) -> None:
        """Urgent: somebody waits for the end of this recording."""
        lane = self._scoring if scored else self._decoding
        lane.submit(StreamJob(stream, packets), len(packets), deliver, urgent=urgent)

    async def close(self) -> None:
        await self._decoding.close()
        await self._scoring.close()

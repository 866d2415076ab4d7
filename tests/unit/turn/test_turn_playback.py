"""Pacing on a virtual clock: the lead, the absolute clock, what was played, and many streams on one timer."""

import asyncio
import importlib.util

import pytest

from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.turn.playback import PacedStream, Pacer

FRAME_S = 0.06

if HAS_UVLOOP := importlib.util.find_spec("uvloop") is not None:
    import uvloop

    uvloop.new_event_loop().close()  # its first loop opens a pipe that the process keeps: no leak of a test


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self.timestamps: list[int] = []

    def send_text(self, message: str) -> None:
        raise AssertionError("a stream sends no text")

    def send_audio(self, packet: bytes, timestamp_ms: int) -> None:
        self.heard.append((asyncio.get_running_loop().time(), packet))
        self.timestamps.append(timestamp_ms)


def packets(count: int, mark: int = 0) -> list[bytes]:
    return [bytes([mark, index % 256]) for index in range(count)]


def open_stream(pacer: Pacer | None = None) -> tuple[Ear, PacedStream]:
    ear = Ear()
    return ear, (pacer or Pacer()).open(ear, frame_ms=60, lead_frames=5)


def test_the_lead_goes_out_before_add_returns() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(20))
        assert len(ear.heard) == 5
        await asyncio.sleep(0.001)
        assert len(ear.heard) == 5
        stream.close()

    run_virtual(scenario())


def test_one_packet_a_frame_in_order_without_drift() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(200))
        await asyncio.sleep(200 * FRAME_S)
        assert [packet for _, packet in ear.heard] == packets(200)
        assert ear.heard[-1][0] == pytest.approx(195 * FRAME_S, abs=0.011)

    run_virtual(scenario())


def test_the_lead_is_given_again_after_the_device_ran_dry() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(3))
        await asyncio.sleep(2.0)
        assert stream.played_frames() == 3
        stream.add(packets(20))
        assert len(ear.heard) == 3 + 5
        assert stream.ends_at() == pytest.approx(2.0 + 5 * FRAME_S)
        stream.close()

    run_virtual(scenario())


def test_a_late_add_that_came_in_time_keeps_the_clock() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(5))
        await asyncio.sleep(4 * FRAME_S)
        stream.add(packets(20))
        assert len(ear.heard) == 5 + 4  # what was played meanwhile is made up for
        stream.close()

    run_virtual(scenario())


def test_a_loop_that_stood_still_does_not_flood_the_device() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(100))
        await asyncio.sleep(0.03)
        stream.close()
        other_ear, other = open_stream()
        other.add(packets(5))
        await asyncio.sleep(5.0)  # as after a stall: the whole lead is gone
        other.add(packets(90))
        assert len(other_ear.heard) == 10
        other.close()
        assert len(ear.heard) == 5

    run_virtual(scenario())


def test_played_frames_follow_the_clock() -> None:
    async def scenario() -> None:
        _, stream = open_stream()
        assert stream.played_frames() == 0
        stream.add(packets(10))
        assert stream.played_frames() == 0
        await asyncio.sleep(3.5 * FRAME_S)
        assert stream.played_frames() == 3
        await asyncio.sleep(20 * FRAME_S)
        assert stream.played_frames() == 10

    run_virtual(scenario())


def test_marks_are_called_in_their_place_and_may_add_more() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        seen: list[int] = []

        def more() -> None:
            seen.append(stream.sent_frames)
            stream.add(packets(2, mark=1))
            stream.mark(lambda: seen.append(stream.sent_frames))

        stream.add(packets(8))
        stream.mark(more)
        await asyncio.sleep(1.0)
        assert seen == [8, 10]
        assert [packet for _, packet in ear.heard] == packets(8) + packets(2, mark=1)

    run_virtual(scenario())


def test_nothing_after_close_not_even_from_a_mark() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(2))
        stream.mark(stream.close)
        stream.add(packets(50))
        stream.mark(lambda: pytest.fail("a closed stream called a mark"))
        await asyncio.sleep(5.0)
        assert len(ear.heard) == 2

    run_virtual(scenario())


def test_timestamps_are_never_zero_and_grow_by_a_frame() -> None:
    async def scenario() -> None:
        ear, stream = open_stream()
        stream.add(packets(50))
        await asyncio.sleep(5.0)
        assert 0 not in ear.timestamps
        steps = {later - earlier for earlier, later in zip(ear.timestamps[1:], ear.timestamps[2:], strict=False)}
        assert steps <= {59, 60, 61}

    run_virtual(scenario())


def test_streams_that_began_at_different_times_share_wake_ups() -> None:
    async def scenario() -> None:
        pacer = Pacer()
        streams = []
        for _ in range(60):
            streams.append(open_stream(pacer))
            streams[-1][1].add(packets(100))
            await asyncio.sleep(0.001)
        await asyncio.sleep(10.0)
        instants = {at for ear, _ in streams for at, _ in ear.heard}
        assert all(len(ear.heard) == 100 for ear, _ in streams)
        assert len(instants) < 800  # 6000 packets

    run_virtual(scenario())


def test_a_mark_that_raises_does_not_stop_the_others() -> None:
    async def scenario() -> None:
        errors: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
        pacer = Pacer()
        ear, stream = open_stream(pacer)
        _, broken = open_stream(pacer)
        broken.add(packets(6))

        def fail() -> None:
            raise RuntimeError("a bug")

        broken.mark(fail)
        stream.add(packets(30))
        await asyncio.sleep(3.0)
        assert len(ear.heard) == 30
        assert len(errors) == 1

    run_virtual(scenario())


@pytest.mark.skipif(not HAS_UVLOOP, reason="there is none for Windows")
def test_the_same_on_the_fast_loop() -> None:
    """uvloop's clock and timers differ from asyncio's own: a timer that is already due is no timer there."""

    async def scenario() -> None:
        pacer = Pacer()
        done = [asyncio.Event() for _ in range(20)]
        ears = []
        for event in done:
            ear = Ear()
            stream = pacer.open(ear, frame_ms=5, lead_frames=5)
            stream.add(packets(30))
            stream.mark(event.set)
            ears.append(ear)
        async with asyncio.timeout(10):
            for event in done:
                await event.wait()
        for ear in ears:
            assert [packet for _, packet in ear.heard] == packets(30)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())

"""The listener's rules, numbered as in the device protocol's edge cases, with a detector that takes loud for speech."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.hearing_fakes import DTX_PACKET, Microphone, microphone, sound_of
from tests.support.speech import join, likeness, silence, speak, uplink
from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.hearing.events import ListenMode, UtteranceEnded
from xiaozhi_server.core.hearing.options import HearingOptions
from xiaozhi_server.core.providers.vad.fake import LoudnessVad


def tone(duration_ms: int) -> NDArray[np.int16]:
    return (8000 * np.sin(np.arange(16 * duration_ms) / 16_000 * 2 * np.pi * 300)).astype(np.int16)


QUIET = uplink(silence(600))
WORD = uplink(tone(300))


async def settle(device: Microphone) -> None:
    """Let the lanes work off what they have; the virtual clock stands still meanwhile."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_32_nobody_speaks_and_nothing_is_said_about_it() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(QUIET * 5)
            await settle(device)
            assert device.events == []

    run_virtual(main())


@pytest.mark.parametrize("mode", ["auto", "realtime"])
def test_an_utterance_ends_after_the_patience_and_the_next_one_is_heard(mode: ListenMode) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start(mode)
            await device.send([*QUIET, *WORD, *QUIET, *WORD, *QUIET])
            await device.event(3)
            assert device.kinds == ["started", "silence"] * 2
            # 600 ms before, 300 of voice, 240 of patience: rounded up to packets of 60 ms and windows of 32.
            assert 1.1 < device.times_s[1] < 1.2
            first = device.utterances[0]
            assert 800 <= first.duration_ms <= 960
            assert first.voiced_ms is not None
            assert 288 <= first.voiced_ms <= 384

    run_virtual(main())


def test_in_realtime_the_beginning_of_speech_is_told_within_two_packets() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("realtime")
            await device.send([*QUIET, *WORD, *QUIET])
            await device.event(0)
            assert device.times_s[0] < 0.6 + 0.096 + 2 * 0.06

    run_virtual(main())


def test_30_sound_before_any_listen_is_dropped() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            await device.send_at_once(WORD * 6)
            device.listener.start("auto")
            await device.send(QUIET)
            await settle(device)
            assert device.events == []
            assert device.hearing.counters.discarded == len(WORD) * 6

    run_virtual(main())


@pytest.mark.parametrize("gap_s", [0.0, 0.01])
def test_30_a_wake_burst_into_a_listening_ear_is_no_utterance(gap_s: float) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(QUIET)
            await asyncio.sleep(30)
            burst = [*WORD, *WORD, *QUIET, *WORD, *WORD][:33]  # with a pause that would end an utterance
            for packet in burst:
                device.listener.feed(packet)
                await asyncio.sleep(gap_s / 10)
            await asyncio.sleep(gap_s)
            device.listener.discard_wake_burst()
            await device.send([*WORD, *QUIET])
            await settle(device)
            assert [event.reason for event in device.utterances] == ["silence"]
            assert device.utterances[0].duration_ms < 700

    run_virtual(main())


def test_a_burst_that_nobody_claims_is_late_speech() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send_at_once([*WORD, *QUIET])
            await device.event(1)
            assert device.kinds == ["started", "silence"]
            assert device.times_s[1] < 0.3

    run_virtual(main())


def test_after_a_wake_word_there_is_no_deaf_time() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            await device.send_at_once(QUIET * 3)
            device.listener.discard_wake_burst()
            device.listener.start("auto")
            spoken = join(tone(500), silence(400))
            await device.send(uplink(spoken))
            await device.event(1)
            assert likeness(sound_of(device.utterances[0]), tone(500)) > 0.95
            assert np.abs(sound_of(device.utterances[0])[:800]).max() > 4000  # from the first packet on

    run_virtual(main())


def test_19_a_second_start_begins_again() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(WORD[:4])
            device.listener.start("auto")
            await device.send(QUIET)
            await settle(device)
            assert "silence" not in device.kinds

    run_virtual(main())


def test_manual_hands_over_everything_at_the_stop() -> None:
    async def main() -> None:
        vad = LoudnessVad()
        async with microphone(vad) as device:
            spoken = speak("What is my favourite colour?")
            packets = uplink(spoken)
            device.listener.start("manual")
            await device.send(packets)
            device.listener.stop()
            before = asyncio.get_running_loop().time()
            utterance = await device.event(0)
            assert isinstance(utterance, UtteranceEnded)
            assert (utterance.reason, utterance.voiced_ms) == ("stop", None)
            assert utterance.duration_ms == 60 * len(packets)
            assert likeness(sound_of(utterance), spoken) > 0.95
            assert device.times_s[0] - before < 0.01
            assert vad.batch_sizes == []

    run_virtual(main())


def test_21_stop_without_start_or_twice_is_ignored() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.stop()
            device.listener.start("manual")
            await device.send(WORD)
            device.listener.stop()
            device.listener.stop()
            await device.event(0)
            device.listener.stop()
            await settle(device)
            assert device.kinds == ["stop"]

    run_virtual(main())


@pytest.mark.parametrize("packets", [[], WORD[:3], QUIET[:1], [DTX_PACKET] * 30])
def test_22_a_recording_without_sound_is_nothing(packets: list[bytes]) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("manual")
            await device.send(packets)
            device.listener.stop()
            await device.event(0)
            assert device.kinds == ["nothing: stop"]

    run_virtual(main())


def test_22_a_stop_in_auto_ends_the_utterance_if_there_is_one() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(WORD)
            device.listener.stop()
            await device.event(1)
            device.listener.start("auto")
            await device.send(QUIET)
            device.listener.stop()
            await device.event(2)
            assert device.kinds == ["started", "stop", "nothing: stop"]
            assert device.listener.mode is None

    run_virtual(main())


def test_23_a_recording_that_nobody_stops_is_capped_by_its_sound_and_by_the_clock() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad(), HearingOptions(manual_cap_s=2.0)) as device:
            device.listener.start("manual")
            await device.send(WORD * 8)
            await device.event(0)
            device.listener.start("manual")
            await device.send(WORD)
            await device.event(1)
            assert device.kinds == ["cap", "cap"]
            assert device.times_s[1] == pytest.approx(2.4 + 2.0, abs=0.1)

    run_virtual(main())


def test_23_a_recording_faster_than_speech_is_bounded_too() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad(), HearingOptions(manual_cap_s=2.0)) as device:
            device.listener.start("manual")
            for _ in range(100):
                await device.send_at_once(WORD)
                await asyncio.sleep(0.001)
            assert device.kinds == ["cap"]
            assert device.utterances[0].duration_ms < 2000 + 16 * 60

    run_virtual(main())


@pytest.mark.parametrize("mode", ["auto", "manual"])
def test_31_what_comes_after_a_stop_or_during_a_pause_is_discarded(mode: ListenMode) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start(mode)
            device.listener.pause()
            await device.send([*WORD, *QUIET])
            device.listener.stop()
            device.listener.resume()
            await device.send([*WORD, *QUIET])
            await settle(device)
            assert device.events == []

    run_virtual(main())


def test_pause_and_resume_forget_what_was_heard_before() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(WORD)
            device.listener.pause()
            await device.send(WORD)
            device.listener.resume()
            await device.send([*QUIET, *WORD, *QUIET])
            await settle(device)
            assert [event.reason for event in device.utterances] == ["silence"]
            assert device.utterances[0].duration_ms < 960

    run_virtual(main())


def test_33_endless_noise_is_capped() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad(), HearingOptions(auto_cap_s=1.5)) as device:
            device.listener.start("auto")
            await device.send(WORD * 12)
            await settle(device)
            assert device.kinds[:3] == ["started", "cap", "started"]
            assert 1500 <= device.utterances[0].duration_ms < 1560

    run_virtual(main())


def test_34_an_empty_packet_ends_a_recording_and_is_nothing_else() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.feed(b"")
            device.listener.start("manual")
            device.listener.feed(b"")
            await device.send(WORD)
            device.listener.feed(b"")
            await device.event(0)
            device.listener.stop()
            device.listener.start("auto")
            device.listener.feed(b"")
            await device.send(WORD)
            device.listener.feed(b"")
            await device.event(2)
            await device.send([*WORD, *QUIET])
            await device.event(4)
            assert device.kinds == ["empty_frame", "started", "empty_frame", "started", "silence"]

    run_virtual(main())


def test_35_dtx_is_silence_and_takes_its_time() -> None:
    async def main() -> None:
        vad = LoudnessVad()
        async with microphone(vad) as device:
            device.listener.start("auto")
            await device.send([DTX_PACKET] * 50)
            assert vad.batch_sizes == []  # nothing to score in it
            await device.send([*WORD, *[DTX_PACKET] * 8])
            await device.event(1)
            assert device.kinds == ["started", "silence"]
            assert device.times_s[1] < 3.0 + 0.3 + 0.24 + 0.12

    run_virtual(main())


def test_36_corrupt_packets_are_counted_and_the_stream_goes_on() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            corrupt = [b"\xff\xff\xff\xff", bytes([11 << 3]) + b"\x01" * 5000]
            await device.send([WORD[0], corrupt[0], WORD[1], corrupt[1], *WORD[2:], *QUIET])
            await device.event(1)
            assert device.kinds == ["started", "silence"]
            assert device.hearing.counters.corrupt == 2

    run_virtual(main())


@pytest.mark.parametrize("frame_ms", [20, 40, 60])
def test_37_packets_of_any_length(frame_ms: int) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(uplink(join(silence(600), tone(300), silence(600)), frame_ms))
            await device.event(1)
            assert 800 <= device.utterances[0].duration_ms <= 960

    run_virtual(main())


def test_40_a_flood_loses_its_oldest_part() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad(), HearingOptions(queue_ms=600)) as device:
            device.listener.start("auto")
            await device.send_at_once(WORD * 100)
            await device.event(0)
            assert device.hearing.counters.overflowed >= 100 * len(WORD) - 16 - 10
            await device.send(QUIET)
            await settle(device)
            assert device.utterances[0].duration_ms < 2000

    run_virtual(main())


@pytest.mark.parametrize("packets", [5, 6, 7])
def test_41_a_hole_in_the_network_ends_the_utterance(packets: int) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send((WORD * 2)[:packets])
            last = asyncio.get_running_loop().time()
            await device.event(1)
            assert device.kinds == ["started", "gap"]
            assert 0.75 < device.times_s[1] - last < 1.0
            assert device.utterances[0].duration_ms >= packets * 60 - 1
            await device.send([*WORD, *QUIET])
            await device.event(3)
            assert device.kinds[2:] == ["started", "silence"]

    run_virtual(main())


def test_41_a_short_hole_does_not() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(WORD)
            await asyncio.sleep(0.6)
            await device.send_at_once(WORD * 2)
            await device.send([*WORD, *QUIET])
            await device.event(1)
            assert device.kinds == ["started", "silence"]
            assert device.utterances[0].duration_ms > 1200

    run_virtual(main())


def test_a_failing_detector_does_not_end_the_ear() -> None:
    async def main() -> None:
        vad = LoudnessVad()
        async with microphone(vad) as device:
            device.listener.start("auto")
            vad.failure = RuntimeError("model gone")
            await device.send([*WORD, *QUIET])
            vad.failure = None
            await device.send([*WORD, *QUIET])
            await device.event(1)
            assert device.kinds == ["started", "silence"]

    run_virtual(main())


def test_who_is_told_may_turn_the_ear_off_at_once() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.answer = lambda _: device.listener.pause()
            device.listener.start("realtime")
            await device.send([*WORD, *QUIET, *WORD, *QUIET])
            await settle(device)
            assert device.kinds == ["started"]

    run_virtual(main())


def test_a_closed_ear_stays_closed() -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            device.listener.start("auto")
            await device.send(WORD)
            await device.listener.close()
            device.listener.start("auto")
            await device.send([*WORD, *QUIET])
            assert "silence" not in device.kinds
            assert not device.listener.listening

    run_virtual(main())


def test_many_devices_share_one_call() -> None:
    async def main() -> None:
        vad = LoudnessVad()
        async with microphone(vad) as first:
            devices = [first, *(Microphone(first.hearing) for _ in range(19))]
            for device in devices:
                device.listener.start("auto")
            await asyncio.gather(*(device.send([*QUIET, *WORD, *QUIET]) for device in devices))
            for device in devices:
                await device.event(1)
                assert device.kinds == ["started", "silence"]
            assert max(vad.batch_sizes) > 1
            assert first.hearing.batches < first.hearing.counters.heard / 5

    run_virtual(main())


ACTIONS = ["auto", "manual", "realtime", "stop", "pause", "resume", "discard", "word", "quiet", "empty", "junk", "wait"]


async def act(device: Microphone, action: str) -> None:
    listener = device.listener
    match action:
        case "auto" | "manual" | "realtime":
            listener.start(action)
        case "stop" | "pause" | "resume":
            getattr(listener, action)()
        case "discard":
            listener.discard_wake_burst()
        case "word" | "quiet":
            await device.send(WORD if action == "word" else QUIET)
        case "empty" | "junk":
            listener.feed(b"" if action == "empty" else b"\x0b\xff junk")
        case _:
            await asyncio.sleep(1.0)


@given(st.lists(st.sampled_from(ACTIONS), max_size=12))
@settings(max_examples=40, deadline=None)
def test_after_anything_a_new_start_hears(actions: list[str]) -> None:
    async def main() -> None:
        async with microphone(LoudnessVad()) as device:
            for action in actions:
                await act(device, action)
            device.listener.start("auto")
            device.events.clear()
            await device.send([*QUIET, *WORD, *QUIET])
            await settle(device)
            assert device.kinds == ["started", "silence"]

    run_virtual(main())

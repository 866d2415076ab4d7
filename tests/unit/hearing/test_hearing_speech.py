"""The whole ear with the real detector and a synthetic voice: Opus in, utterances out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.hearing_fakes import DTX_PACKET, microphone, sound_of
from tests.support.speech import join, likeness, noise, silence, speak, uplink, with_noise
from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.providers.vad.silero import SileroConfig, SileroVad

PHRASES = [
    ("stop", "en"),
    ("no", "en"),
    ("yes", "en"),
    ("好", "cmn"),
    ("不", "cmn"),
    ("What is my favourite colour?", "en"),
]


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(SileroConfig())


def room(name: str, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    return with_noise(pcm) if name == "quiet room" else pcm


@pytest.mark.parametrize("text_and_voice", PHRASES, ids=[text for text, _ in PHRASES])
@pytest.mark.parametrize("lead_ms", [0, 1000])
@pytest.mark.parametrize("where", ["studio", "quiet room"])
def test_a_phrase_is_heard_whole(vad: SileroVad, text_and_voice: tuple[str, str], lead_ms: int, where: str) -> None:
    spoken = speak(*text_and_voice)

    async def main() -> None:
        async with microphone(vad) as device:
            device.listener.start("auto")
            await device.send(uplink(room(where, join(silence(lead_ms), spoken, silence(700)))))
            await device.event(1)
            assert device.kinds == ["started", "silence"]
            heard = sound_of(device.utterances[0])
            assert likeness(heard, spoken) > 0.9
            if lead_ms == 0:
                # Speech at the very first packet: the utterance begins with it.
                assert np.abs(heard[:1600].astype(int)).max() > 500

    run_virtual(main())


def test_the_end_is_found_soon_after_the_last_voiced_packet(vad: SileroVad) -> None:
    async def delay_ms(spoken: NDArray[np.int16], lead_ms: int) -> float:
        async with microphone(vad) as device:
            device.listener.start("auto")
            await device.send(uplink(with_noise(join(silence(lead_ms), spoken, silence(700)))))
            await device.event(1)
            last_packet = -(-(lead_ms + spoken.size // 16) // 60)
            return device.times_s[1] * 1000 - last_packet * 60

    delays = [run_virtual(delay_ms(speak(*phrase), lead_ms)) for phrase in PHRASES for lead_ms in (300, 320, 340)]
    assert min(delays) > 200
    assert np.median(delays) <= 320
    assert max(delays) <= 450


@pytest.mark.parametrize("amplitude", [0.0, 60.0, 1000.0, 4000.0])
def test_silence_and_noise_are_nothing(vad: SileroVad, amplitude: float) -> None:
    async def main() -> None:
        async with microphone(vad) as device:
            device.listener.start("auto")
            await device.send(uplink(noise(4000, amplitude)))
            assert device.events == []

    run_virtual(main())


def test_two_sentences_with_a_pause_are_two_utterances(vad: SileroVad) -> None:
    first, second = speak("My name is Anna."), speak("What is my name?")

    async def main() -> None:
        async with microphone(vad) as device:
            device.listener.start("auto")
            await device.send(uplink(with_noise(join(silence(300), first, silence(700), second, silence(700)))))
            await device.event(3)
            assert device.kinds == ["started", "silence"] * 2
            assert likeness(sound_of(device.utterances[0]), first) > 0.9
            assert likeness(sound_of(device.utterances[1]), second) > 0.9

    run_virtual(main())


def test_a_word_after_a_long_silent_time_is_heard_at_once(vad: SileroVad) -> None:
    async def main() -> None:
        async with microphone(vad) as device:
            device.listener.start("auto")
            await device.send([DTX_PACKET] * 500)
            await device.send([*uplink(speak("stop")), *[DTX_PACKET] * 10])
            await device.event(1)
            assert device.kinds == ["started", "silence"]
            assert likeness(sound_of(device.utterances[0]), speak("stop")) > 0.9

    run_virtual(main())

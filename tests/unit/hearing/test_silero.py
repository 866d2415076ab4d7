import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from tests.support.speech import join, noise, silence, speak, with_noise
from xiaozhi_server.core.providers.vad.silero import SileroConfig, SileroVad


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(SileroConfig())


def windows(pcm: NDArray[np.int16]) -> list[NDArray[np.float32]]:
    whole = pcm[: pcm.size // 512 * 512].astype(np.float32) / 32768
    return list(whole.reshape(-1, 512))


def alone(vad: SileroVad, pcm: NDArray[np.int16]) -> list[float]:
    state = vad.new_state()
    return [vad.score([window], [state])[0] for window in windows(pcm)]


@pytest.mark.parametrize("amplitude", [0, 60, 1000, 4000])
def test_silence_and_noise_are_no_speech(vad: SileroVad, amplitude: float) -> None:
    assert max(alone(vad, noise(2000, amplitude))) < 0.3


@pytest.mark.parametrize(("text", "voice"), [("stop", "en"), ("no", "en"), ("好", "cmn"), ("我最喜欢的颜色", "cmn")])
def test_speech_is_speech(vad: SileroVad, text: str, voice: str) -> None:
    assert sum(score > 0.5 for score in alone(vad, with_noise(join(speak(text, voice), silence(300))))) >= 5


def test_a_batch_scores_each_stream_as_if_it_were_alone(vad: SileroVad) -> None:
    streams = [windows(with_noise(join(silence(ms), speak("What is my favourite colour?")))) for ms in (0, 200, 700)]
    states = [vad.new_state() for _ in streams]
    together: list[list[float]] = [[] for _ in streams]
    for turn in range(max(map(len, streams))):
        rows = [row for row, cuts in enumerate(streams) if turn < len(cuts)]
        scores = vad.score([streams[row][turn] for row in rows], [states[row] for row in rows])
        for row, score in zip(rows, scores, strict=True):
            together[row].append(score)
    for cuts, scores in zip(streams, together, strict=True):
        state = vad.new_state()
        assert scores == pytest.approx([vad.score([window], [state])[0] for window in cuts], abs=1e-4)


def test_no_windows_no_call(vad: SileroVad) -> None:
    assert vad.score([], []) == []


async def test_the_probe_makes_a_real_call(vad: SileroVad) -> None:
    assert "silence 0.0" in await vad.probe()
    await vad.close()


def test_the_references_keys_are_taken_and_unknown_ones_are_not() -> None:
    config = SileroConfig.model_validate(
        {"threshold": 0.5, "threshold_low": 0.3, "model_dir": "models/vad", "min_silence_duration_ms": 200}
    )
    assert config.min_silence_duration_ms == 200
    with pytest.raises(ValidationError):
        SileroConfig.model_validate({"treshold": 0.5})


def test_torch_and_the_wheels_own_package_stay_out() -> None:
    assert "torch" not in sys.modules
    assert "silero_vad" not in sys.modules

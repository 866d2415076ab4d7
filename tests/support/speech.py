"""Synthetic speech for tests: espeak's voice at the device's rate, and Opus as a device's encoder would send it.

espeak is one C library with one callback for the whole process, so it runs in a child: a test that speaks through the
server's own provider is not disturbed.
"""

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

Samples = NDArray[np.int16]

RATE = 16_000
ESPEAK_RATE = 22_050


@lru_cache(maxsize=64)
def speak(text: str, voice: str = "en") -> Samples:
    """The text as spoken sound at 16 kHz, without the silence before and after it."""
    command = [sys.executable, str(Path(__file__)), voice, text]
    rendered = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    spoken = resample(np.frombuffer(rendered, np.int16), ESPEAK_RATE)
    loud = np.flatnonzero(np.abs(spoken.astype(np.int32)) > 300)
    trimmed = spoken[loud[0] : loud[-1] + 1]
    trimmed.setflags(write=False)
    return trimmed


def silence(duration_ms: int) -> Samples:
    return np.zeros(RATE * duration_ms // 1000, np.int16)


def noise(duration_ms: int, amplitude: float = 200.0, seed: int = 7) -> Samples:
    """White noise, as of a fan near the microphone."""
    return np.random.default_rng(seed).normal(0, amplitude, RATE * duration_ms // 1000).astype(np.int16)


def with_noise(pcm: Samples, amplitude: float = 60.0) -> Samples:
    """The sound as a microphone in a quiet room would give it: never digital silence."""
    background = np.random.default_rng(3).normal(0, amplitude, pcm.size)
    return np.clip(pcm + background, -32768, 32767).astype(np.int16)


def join(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def resample(pcm: Samples, from_rate: int, to_rate: int = RATE) -> Samples:
    frame = AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = from_rate
    resampler = AudioResampler("s16", "mono", to_rate)
    frames = resampler.resample(frame) + resampler.resample(None)
    return np.concatenate([piece.to_ndarray().ravel() for piece in frames]).astype(np.int16)


def likeness(heard: Samples, original: Samples) -> float:
    """The best correlation over all shifts: 1 is the same sound."""
    size = heard.size + original.size
    left, right = np.fft.rfft(heard.astype(float), size), np.fft.rfft(original.astype(float), size)
    energy = np.sqrt((heard.astype(float) ** 2).sum() * (original.astype(float) ** 2).sum())
    return float(np.fft.irfft(left * np.conj(right)).max() / energy)


def uplink(pcm: Samples, frame_ms: int = 60, *, dtx: bool = True) -> list[bytes]:
    """Opus packets as the firmware makes them: 16 kHz mono, VBR, DTX, complexity 0; the last one padded."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE, "mono", "s16", 24_000
    codec.options = {
        "application": "audio",
        "compression_level": "0",
        "frame_duration": str(frame_ms),
        "dtx": "1" if dtx else "0",
    }
    size = RATE * frame_ms // 1000
    padded = np.pad(pcm, (0, -pcm.size % size))
    packets: list[bytes] = []
    for start in range(0, padded.size, size):
        frame = AudioFrame.from_ndarray(padded[start : start + size].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def _render(voice: str, text: str) -> bytes:
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    audio_output_synchronous, characters_utf8 = 2, 1
    sound = bytearray()

    def collect(samples: int | None, count: int, _: int | None) -> int:
        if samples is not None and count > 0:
            sound.extend(ctypes.string_at(samples, count * 2))
        return 0

    rate = library.espeak_Initialize(audio_output_synchronous, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate != ESPEAK_RATE or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise RuntimeError(f"espeak does not speak {voice!r} at {ESPEAK_RATE} Hz")
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(collect)
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode() + b"\0"
    library.espeak_Synth(encoded, len(encoded), 0, 0, 0, characters_utf8, None, None)
    return bytes(sound)


def _main(arguments: Sequence[str]) -> None:
    voice, text = arguments
    sys.stdout.buffer.write(_render(voice, text))


if __name__ == "__main__":
    _main(sys.argv[1:])

"""A voice for the device and for the stand-in cloud: espeak-ng in this process, English and Chinese.

It loads a library of its own, since espeak keeps its state in globals and a server under test may use it beside us.
"""

import ctypes
import re
import shutil
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

import av
import espeakng_loader
import numpy as np

_ESPEAK_RATE = 22_050
_SYNCHRONOUS = 2
_UTF8 = 1
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Espeak:
    """The library and the one conversation it can hold at a time."""

    def __init__(self) -> None:
        self._library = _private_library(Path(espeakng_loader.get_library_path()))
        self._lock = threading.Lock()
        self._parts: list[bytes] = []
        self._callback = _CALLBACK(self._collect)
        data = str(espeakng_loader.get_data_path()).encode()
        if self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0) != _ESPEAK_RATE:
            raise OSError("espeak-ng did not start")
        self._library.espeak_SetSynthCallback(self._callback)

    def render(self, text: str, voice: str) -> bytes:
        encoded = text.encode()
        with self._lock:
            self._parts.clear()
            self._library.espeak_SetVoiceByName(voice.encode())
            self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, _UTF8, None, None)
            self._library.espeak_Synchronize()
            return b"".join(self._parts)

    def _collect(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: int) -> int:
        if samples and count:
            self._parts.append(ctypes.string_at(samples, count * 2))
        return 0


def _private_library(path: Path) -> ctypes.CDLL:
    folder = tempfile.mkdtemp(prefix="voice-")
    try:
        return ctypes.CDLL(shutil.copy(path, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # loaded is loaded; only Windows keeps the file


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


def voice_for(text: str) -> str:
    return "cmn" if _CJK.search(text) else "en-us"


@lru_cache(maxsize=256)
def speak(text: str, *, sample_rate: int = 16_000) -> bytes:
    """The text as s16le mono sound. Takes a few milliseconds; the same text always sounds the same."""
    if not text.strip():
        return b""
    return resample(_espeak().render(text, voice_for(text)), _ESPEAK_RATE, sample_rate)


def resample(pcm: bytes, rate_in: int, rate_out: int) -> bytes:
    if rate_in == rate_out or not pcm:
        return pcm
    frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, np.int16)[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = rate_in
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_out)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(part.to_ndarray().astype(np.int16, copy=False).tobytes() for part in frames)

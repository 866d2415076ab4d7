"""The espeak-ng C library from its wheel, called in this process. It is global, not reentrant: one call at a time."""

import atexit
import ctypes
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import espeakng_loader

# What espeak-ng speaks at.
SAMPLE_RATE = 22_050
OK = 0
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
RATE, VOLUME, PITCH = 1, 2, 3
# The library keeps the path of its data in 160 bytes and fails beyond.
LONGEST_DATA_PATH = 120

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class SpeechSettings(Protocol):
    @property
    def words_per_minute(self) -> int: ...

    @property
    def volume(self) -> int: ...

    @property
    def pitch(self) -> int: ...


# 50 ms: no word is shorter.
SHORTEST_WORD_BYTES = SAMPLE_RATE * 2 // 20


class EspeakError(Exception):
    """The library cannot be used, or refused a call."""


class EspeakLibrary:
    """Loaded when the first sentence is spoken and kept: it cannot be unloaded safely. All methods block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: Any = None
        self._sound = bytearray()
        self._callback: Callable[..., int] | None = None

    def synthesize(self, text: str, voice: str, settings: SpeechSettings) -> bytes:
        """The sound of a text as signed 16-bit mono PCM."""
        with self._lock:
            self._load()
            self._choose(voice, settings)
            return self._speak(text)

    def _load(self) -> None:
        if self._library is not None:
            return
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        data_path = str(self._data_path()).encode()
        sample_rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, INITIALIZE_DONT_EXIT)
        if sample_rate != SAMPLE_RATE:
            raise EspeakError(f"espeak-ng cannot load its data from {espeakng_loader.get_data_path()}")
        self._callback = _SynthCallback(self._take_sound)
        library.espeak_SetSynthCallback(self._callback)
        self._library = library

    def _data_path(self) -> Path:
        path = Path(espeakng_loader.get_data_path())
        if len(str(path).encode()) <= LONGEST_DATA_PATH:
            return path
        folder = tempfile.TemporaryDirectory(prefix="espeak-")
        # Voices are read from there as they are needed, as long as the process lives.
        atexit.register(folder.cleanup)
        link = Path(folder.name) / "data"
        link.symlink_to(path, target_is_directory=True)
        return link

    def _choose(self, voice: str, settings: SpeechSettings) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) != OK:
            raise EspeakError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(RATE, settings.words_per_minute, 0)
        self._library.espeak_SetParameter(VOLUME, settings.volume, 0)
        self._library.espeak_SetParameter(PITCH, settings.pitch, 0)

    def _speak(self, text: str) -> bytes:
        # The library reads C strings: what follows a NUL would be lost.
        encoded = text.replace("\0", " ").encode(errors="replace")
        sound = self._synth(encoded)
        if len(sound) < SHORTEST_WORD_BYTES and any(map(str.isalnum, text)):
            # Seen once in many thousand sentences: a breath of silence instead. Asked again it speaks.
            sound = self._synth(encoded)
        return sound

    def _synth(self, encoded: bytes) -> bytes:
        self._sound.clear()
        if self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, CHARS_UTF8, None, None) != OK:
            raise EspeakError("espeak-ng could not speak")
        sound = bytes(self._sound)
        self._sound.clear()
        return sound

    def _take_sound(self, samples: int | None, count: int, _events: object) -> int:
        if samples and count > 0:
            self._sound += ctypes.string_at(samples, count * 2)
        return 0


LIBRARY = EspeakLibrary()

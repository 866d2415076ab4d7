"""libopus itself, as PyAV brings it along: one call a frame.

PyAV's own way takes three calls and a frame object each. Every call gives up the interpreter's lock, so under load most
of the time went into waiting to get it back.
"""

import ctypes
import ctypes.util
from ctypes import c_char_p, c_int, c_int32, c_void_p
from pathlib import Path

import av

_INVALID_RATE = "libopus knows 8000, 12000, 16000, 24000 and 48000 Hz, not %d"
_SOUND_OF_ANY_KIND = 2049
_SET_BIT_RATE = 4002
_SET_COMPLEXITY = 4010
_SET_VBR_CONSTRAINT = 4020


def _load() -> ctypes.CDLL:
    package = Path(av.__file__).parent
    beside = [*package.with_name("av.libs").glob("*opus*"), *package.glob(".dylibs/*opus*")]
    if found := next((str(path) for path in sorted(beside)), None) or ctypes.util.find_library("opus"):
        return ctypes.CDLL(found)
    missing = "libopus is neither beside PyAV nor on the system: reinstall av (pip install --force-reinstall av)"
    raise ImportError(missing, name="libopus")


_library = _load()
_library.opus_encoder_init.argtypes = [c_void_p, c_int32, c_int, c_int]
_library.opus_encoder_ctl.argtypes = [c_void_p, c_int]  # and one more: it takes any number of arguments
_library.opus_encode.argtypes = [c_void_p, c_void_p, c_int, c_char_p, c_int32]
_library.opus_decoder_init.argtypes = [c_void_p, c_int32, c_int]
_library.opus_decode.argtypes = [c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int]
_encode = _library.opus_encode
_decode = _library.opus_decode
_ENCODER_BYTES: int = _library.opus_encoder_get_size(1)
_DECODER_BYTES: int = _library.opus_decoder_get_size(1)


class Encoder:
    """Of one mono stream, at the lowest complexity: a third to a sixth of the time that the default takes, with no
    difference that a device's speaker could show.
    """

    def __init__(self, sample_rate: int, bit_rate: int) -> None:
        self._state = ctypes.create_string_buffer(_ENCODER_BYTES)
        if _library.opus_encoder_init(self._state, sample_rate, 1, _SOUND_OF_ANY_KIND):
            raise ValueError(_INVALID_RATE % sample_rate)
        for request, value in ((_SET_BIT_RATE, bit_rate), (_SET_COMPLEXITY, 0), (_SET_VBR_CONSTRAINT, 0)):
            _library.opus_encoder_ctl(self._state, request, c_int32(value))

    def encode(self, address: int, samples: int, room: "ctypes.Array[ctypes.c_char]") -> int:
        """Writes the packet of so many 16 bit samples at that address into `room`, and says how long it is."""
        size: int = _encode(self._state, address, samples, room, len(room))
        if size < 0:
            raise ValueError(f"libopus cannot encode {samples} samples in one packet")
        return size


class Decoder:
    """Of one mono stream."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._state = ctypes.create_string_buffer(_DECODER_BYTES)
        self.reset()

    def reset(self) -> None:
        """The next packet starts a new stream."""
        if _library.opus_decoder_init(self._state, self._sample_rate, 1):
            raise ValueError(_INVALID_RATE % self._sample_rate)

    def decode(self, packet: bytes, address: int, room: int) -> int:
        """Writes at most `room` 16 bit samples to that address and says how many; negative: it is no such packet."""
        count: int = _decode(self._state, packet, len(packet), address, room, 0)
        return count

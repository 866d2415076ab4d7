"""Opus both ways for the device, on PyAV. It knows sound and packets, nothing of messages."""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

Samples = NDArray[np.int16]

UPLINK_RATE = 16_000
DTX_PACKET = b"\x58"  # nothing but the table of contents: SILK wideband, 60 ms, mono
_DECODER_RATE = 48_000  # what FFmpeg's libopus decoder always answers in
_AUTOMATIC_BIT_RATE = 17_000  # what libopus chooses by itself for 16 kHz mono in 60 ms frames
_DTX_AFTER_FRAMES = 4
_DTX_REFRESH_FRAMES = 7


def packet_duration_ms(packet: bytes) -> float:
    """The duration that a packet's own table of contents declares; 0 for an empty or broken packet."""
    if not packet:
        return 0
    return _frame_ms(packet[0] >> 3) * _frame_count(packet)


def _frame_ms(config: int) -> float:
    if config < 12:
        return (10, 20, 40, 60)[config % 4]
    if config < 16:
        return (10, 20)[config % 2]
    return (2.5, 5, 10, 20)[config % 4]


def _frame_count(packet: bytes) -> int:
    code = packet[0] & 3
    if code < 3:
        return 1 if code == 0 else 2
    return packet[1] & 0x3F if len(packet) > 1 else 0


def encode_speech(pcm: bytes, *, sample_rate: int = UPLINK_RATE, frame_ms: int = 60) -> list[bytes]:
    """Cut s16le mono sound into Opus packets the way the device does; the last one is filled up with silence."""
    encoder = _encoder(sample_rate, frame_ms)
    samples = np.frombuffer(pcm, np.int16)
    size = sample_rate * frame_ms // 1000
    count = -(-len(samples) // size)
    padded = np.zeros(count * size, np.int16)
    padded[: len(samples)] = samples
    packets: list[bytes] = []
    for index in range(count):
        packets += _encode(encoder, padded[index * size : (index + 1) * size], index * size)
    packets += [bytes(packet) for packet in encoder.encode(None)]
    # The encoder's look-ahead makes it flush one packet of padding that nobody said.
    return packets[:count]


def _encoder(sample_rate: int, frame_ms: int) -> AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate = sample_rate
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.time_base = Fraction(1, sample_rate)
    encoder.bit_rate = _AUTOMATIC_BIT_RATE
    encoder.options = {"frame_duration": str(frame_ms), "application": "audio", "compression_level": "0"}
    encoder.open()
    return encoder


def _encode(encoder: AudioCodecContext, samples: Samples, position: int) -> list[bytes]:
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
    frame.sample_rate = encoder.sample_rate
    frame.pts = position
    return [bytes(packet) for packet in encoder.encode(frame)]


@lru_cache(maxsize=8)
def silence_packet(frame_ms: int = 60) -> bytes:
    """An encoded frame of digital silence."""
    frame_bytes = UPLINK_RATE * frame_ms // 1000 * 2
    return encode_speech(bytes(frame_bytes * 4), frame_ms=frame_ms)[-1]


def quiet_packet(index: int, frame_ms: int = 60) -> bytes:
    """The packet that the microphone sends `index` frames into a silence: DTX, now and then refreshed."""
    if frame_ms != 60 or index < _DTX_AFTER_FRAMES or index % _DTX_REFRESH_FRAMES == 0:
        return silence_packet(frame_ms)
    return DTX_PACKET


class Decoder:
    """One decoder for one utterance, as the device keeps it between `tts start` and `tts stop`."""

    def __init__(self, sample_rate: int) -> None:
        self._step = _DECODER_RATE // sample_rate
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, AudioCodecContext)
        decoder.sample_rate = _DECODER_RATE
        decoder.layout = "mono"
        self._decoder = decoder
        self.errors = 0

    def decode(self, packet: bytes) -> Samples:
        """The packet's sound; nothing for a packet that cannot be decoded."""
        if not packet:
            return np.zeros(0, np.int16)
        try:
            frames = self._decoder.decode(av.Packet(packet))
        except av.FFmpegError:
            self.errors += 1
            return np.zeros(0, np.int16)
        parts = [_mono(frame) for frame in frames]
        return np.concatenate(parts)[:: self._step] if parts else np.zeros(0, np.int16)


def _mono(frame: av.AudioFrame) -> Samples:
    # Sound encoded for a speaker has nothing above half its rate: taking every n-th sample is safe.
    return frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)


def decode_speech(packets: Iterable[bytes], sample_rate: int) -> tuple[bytes, int]:
    """s16le mono sound of a whole utterance, and how many packets could not be decoded."""
    decoder = Decoder(sample_rate)
    parts = [decoder.decode(packet) for packet in packets]
    sound = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    return sound.tobytes(), decoder.errors

"""What a voice sends, in whatever codec, to mono samples at the rate that is wanted, while it is still arriving.

CPU work for the executor. It knows no provider and makes no guess at the codec: the provider says what it sends.
"""

from collections.abc import Iterable
from typing import Any, Literal, Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError
from numpy.typing import NDArray

from .ogg import OggPackets
from .wav import WavFormat, read_head

Samples = NDArray[np.int16]
Codec = Literal["pcm", "wav", "mp3", "opus", "aac", "flac"]

_FFMPEG_DECODERS: dict[str, str] = {"mp3": "mp3float", "aac": "aac", "flac": "flac"}
_ID3_HEAD_BYTES = 10
_OPUS_RATE = 48_000
# Covers a picture in a tag. Whoever sends more without any sound in it will never send sound.
_MAX_BARREN_BYTES = 1 << 20


class UnusableAudioError(ValueError):
    """The bytes hold no sound of the codec they were said to be."""


class _Unpacker(Protocol):
    """Bytes in, frames out."""

    def feed(self, data: bytes) -> Iterable[AudioFrame]: ...

    def finish(self) -> Iterable[AudioFrame]: ...


class AudioDecoder:
    """One piece of speech: `feed` as the bytes come, then `finish` once for what is left."""

    def __init__(self, codec: Codec, sample_rate_in: int, sample_rate_out: int) -> None:
        self._unpacker = _unpacker_for(codec, sample_rate_in)
        self._resampler = AudioResampler("s16", "mono", sample_rate_out)
        self._codec = codec
        self._bytes_in = 0
        self._barren_bytes = 0  # since the last sound
        self._samples_out = 0

    def feed(self, data: bytes) -> Samples:
        """The sound that is complete so far. Damaged pieces are left out; a wrong head, or a stream that goes on and on
        without sound, raises UnusableAudioError."""
        if not data:
            return np.zeros(0, np.int16)
        self._bytes_in += len(data)
        samples_before = self._samples_out
        try:
            sound = self._resample(self._unpacker.feed(data))
        except (FFmpegError, ValueError) as error:
            raise UnusableAudioError(f"unusable {self._codec} audio: {type(error).__name__}") from error
        self._barren_bytes = 0 if self._samples_out > samples_before else self._barren_bytes + len(data)
        if self._barren_bytes > _MAX_BARREN_BYTES:
            raise UnusableAudioError(f"no sound in {self._barren_bytes} bytes of {self._codec}")
        return sound

    def finish(self) -> Samples:
        """The rest of the sound. UnusableAudioError: bytes came, but no sound was in any of them."""
        try:
            rest = self._resample(self._unpacker.finish())
            if self._samples_out:
                rest = np.concatenate((rest, self._collect(self._resampler.resample(None))))
        except (FFmpegError, ValueError) as error:
            raise UnusableAudioError(f"unusable {self._codec} audio: {type(error).__name__}") from error
        if self._bytes_in and not self._samples_out:
            raise UnusableAudioError(f"no sound in {self._bytes_in} bytes of {self._codec}")
        return rest

    def _resample(self, frames: Iterable[AudioFrame]) -> Samples:
        pieces: list[AudioFrame] = []
        for frame in frames:
            frame.pts = None
            self._samples_out += frame.samples
            pieces += self._resampler.resample(frame)
        return self._collect(pieces)

    @staticmethod
    def _collect(frames: list[AudioFrame]) -> Samples:
        if not frames:
            return np.zeros(0, np.int16)
        return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.int16, copy=False)


def _unpacker_for(codec: Codec, sample_rate: int) -> _Unpacker:
    if codec == "pcm":
        return _RawSamples(WavFormat("s16", 2, 1, sample_rate))
    if codec == "wav":
        return _Wav()
    return _OggOpus() if codec == "opus" else _Compressed(codec)


class _RawSamples:
    """Interleaved samples; a sample cut in two by the network waits for its other half."""

    def __init__(self, kind: WavFormat) -> None:
        self._kind = kind
        self._rest = b""

    def feed(self, data: bytes) -> list[AudioFrame]:
        kind = self._kind
        sound = self._rest + data
        step = kind.sample_bytes * kind.channels
        whole = len(sound) - len(sound) % step
        self._rest = sound[whole:]
        if not whole:
            return []
        layout = "mono" if kind.channels == 1 else "stereo"
        frame = AudioFrame(format=kind.sample_format, layout=layout, samples=whole // step)
        frame.sample_rate = kind.sample_rate
        frame.planes[0].update(sound[:whole])
        return [frame]

    def finish(self) -> list[AudioFrame]:
        return []


class _Wav:
    def __init__(self) -> None:
        self._head = b""
        self._samples: _RawSamples | None = None

    def feed(self, data: bytes) -> list[AudioFrame]:
        if self._samples is not None:
            return self._samples.feed(data)
        self._head += data
        found = read_head(self._head)
        if found is None:
            return []
        kind, samples_at = found
        self._samples = _RawSamples(kind)
        return self._samples.feed(self._head[samples_at:])

    def finish(self) -> list[AudioFrame]:
        return []


class _Compressed:
    """Codecs whose frames can be found in the bare stream: MP3, AAC in ADTS, FLAC."""

    def __init__(self, codec: Codec) -> None:
        self._codec = _audio_decoder(_FFMPEG_DECODERS[codec])
        self._skip_tag = codec == "mp3"
        self._head = b""

    def feed(self, data: bytes) -> Iterable[AudioFrame]:
        if self._skip_tag:
            data = self._without_tag(data)
        if data:
            yield from self._decode(self._codec.parse(data))

    def finish(self) -> Iterable[AudioFrame]:
        while packets := self._codec.parse(None):  # the FLAC parser holds back several
            yield from self._decode(packets)
        try:
            yield from self._codec.decode(None)
        except FFmpegError:
            return

    def _decode(self, packets: "Iterable[av.Packet[Any]]") -> Iterable[AudioFrame]:
        for packet in packets:
            if not packet.size:
                continue  # an empty one would drain the decoder
            try:
                frames = self._codec.decode(packet)
            except FFmpegError:
                continue  # a damaged frame costs only itself
            yield from frames

    def _without_tag(self, data: bytes) -> bytes:
        """Drop an ID3 tag: a picture in it may look like frames."""
        self._head += data
        if len(self._head) < _ID3_HEAD_BYTES:
            return b""
        if self._head[:3] == b"ID3":
            size = 0
            for byte in self._head[6:_ID3_HEAD_BYTES]:
                size = size << 7 | byte & 0x7F
            if len(self._head) < _ID3_HEAD_BYTES + size:
                return b""
            self._head = self._head[_ID3_HEAD_BYTES + size :]
        self._skip_tag = False
        head, self._head = self._head, b""
        return head


class _OggOpus:
    def __init__(self) -> None:
        self._ogg = OggPackets()
        self._codec = _audio_decoder("libopus")
        self._codec.sample_rate = _OPUS_RATE
        self._codec.layout = "mono"

    def feed(self, data: bytes) -> Iterable[AudioFrame]:
        for packet in self._ogg.feed(data):
            if not packet or packet.startswith((b"OpusHead", b"OpusTags")):
                continue
            try:
                frames = self._codec.decode(av.Packet(packet))
            except FFmpegError:
                continue  # a damaged packet costs only itself
            yield from frames

    def finish(self) -> Iterable[AudioFrame]:
        return ()


def _audio_decoder(name: str) -> AudioCodecContext:
    codec = av.CodecContext.create(name, "r")
    assert isinstance(codec, AudioCodecContext)
    return codec

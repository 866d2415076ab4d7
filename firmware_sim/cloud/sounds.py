"""Sound files for the stand-in cloud: speech in the formats a voice service offers, and any upload as PCM."""

import io
from functools import lru_cache

import av
import numpy as np

from firmware_sim.speech import speak

SPEECH_RATE = 24_000
_CONTAINERS = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "aac": ("adts", "aac"),
    "flac": ("flac", "flac"),
    "wav": ("wav", "pcm_s16le"),
}
CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class UnreadableError(Exception):
    """The upload is no sound file."""


@lru_cache(maxsize=256)
def speech_file(text: str, form: str) -> bytes:
    """The text spoken, as a whole file; plain s16le at 24 kHz for `pcm`."""
    pcm = speak(text, sample_rate=SPEECH_RATE)
    return pcm if form == "pcm" else _encode(pcm, *_CONTAINERS[form])


def _encode(pcm: bytes, container: str, codec: str) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000 if codec == "libopus" else SPEECH_RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, np.int16)[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate = SPEECH_RATE
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=stream.codec_context.sample_rate,
            frame_size=stream.codec_context.frame_size or 1024,
        )  # fmt: skip
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return target.getvalue()


def read_sound(data: bytes, sample_rate: int) -> bytes:
    """Any sound file as s16le mono."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
    parts: list[bytes] = []
    try:
        with av.open(io.BytesIO(data), "r") as source:
            for frame in source.decode(audio=0):
                parts += [_bytes(part) for part in resampler.resample(frame)]
        parts += [_bytes(part) for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError) as error:
        raise UnreadableError(str(error)) from error
    return b"".join(parts)


def _bytes(frame: av.AudioFrame) -> bytes:
    return frame.to_ndarray().astype(np.int16, copy=False).tobytes()

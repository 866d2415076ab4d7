"""Microsoft Edge's read-aloud voices by the package edge-tts (an optional extra). Needs the network, but no key."""

import importlib.util
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from .base import AudioFormat

if importlib.util.find_spec("edge_tts") is None:
    raise ImportError("TTS edge needs the package edge-tts: pip install edge-tts")

import edge_tts

SAMPLE_RATE = 24_000
CONNECT_TIMEOUT_S = 3
CHINESE_VOICE = "zh-CN-XiaoxiaoNeural"
ENGLISH_VOICE = "en-US-AriaNeural"


class EdgeTtsConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    # Without one, a Chinese or an English voice by the talk's language.
    voice: str | None = Field(default=None, min_length=1)
    rate: str = Field(default="+0%", pattern=r"^[+-]\d+%$")
    volume: str = Field(default="+0%", pattern=r"^[+-]\d+%$")
    pitch: str = Field(default="+0Hz", pattern=r"^[+-]\d+Hz$")
    # The longest silence of the service that is borne.
    timeout_s: int = Field(default=10, ge=1, le=120)
    # Accepted from older configurations; nothing is written to disk.
    output_dir: str | None = None


class EdgeTtsError(Exception):
    """The service failed. Only the kind of the error is told: its text may quote the sentence."""


class EdgeTts:
    Config: ClassVar[type[EdgeTtsConfig]] = EdgeTtsConfig

    def __init__(self, config: EdgeTtsConfig) -> None:
        self._config = config

    @property
    def audio_format(self) -> AudioFormat:
        return AudioFormat("mp3", SAMPLE_RATE)

    async def synthesize(self, text: str, *, language: str | None) -> AsyncGenerator[bytes, None]:
        if not text.strip():
            return
        failure: EdgeTtsError | None = None
        try:
            sound = self._sound(text, language)
            async with aclosing(sound):
                async for piece in sound:
                    yield piece
        except Exception as error:  # noqa: BLE001 a provider call: whatever it raises may quote the sentence
            failure = EdgeTtsError(f"the read-aloud service failed ({type(error).__name__})")
        if failure is not None:
            raise failure

    async def probe(self) -> str:
        sound = self.synthesize("OK.", language="en")
        async with aclosing(sound):
            async for _ in sound:
                return f"edge, voice {self._config.voice or 'by language'}"
        raise EdgeTtsError("the read-aloud service sent no sound")

    async def close(self) -> None:
        """Each sentence has its own connection, which ends with it."""

    async def _sound(self, text: str, language: str | None) -> AsyncGenerator[bytes, None]:
        config = self._config
        speech = edge_tts.Communicate(
            text,
            config.voice or _voice_for(language),
            rate=config.rate,
            volume=config.volume,
            pitch=config.pitch,
            connect_timeout=CONNECT_TIMEOUT_S,
            receive_timeout=config.timeout_s,
        )
        async for message in speech.stream():
            if message["type"] == "audio":
                yield message["data"]


def _voice_for(language: str | None) -> str:
    return CHINESE_VOICE if (language or "").lower().startswith("zh") else ENGLISH_VOICE

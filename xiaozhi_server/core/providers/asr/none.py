"""No recogniser: the default without a preset. Typed turns work; who speaks is told what to set up."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from .base import AsrNotConfiguredError, Transcript


class NoAsrConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoAsr:
    Config: ClassVar[type[NoAsrConfig]] = NoAsrConfig

    def __init__(self, config: NoAsrConfig) -> None:
        self._config = config

    async def transcribe(self, pcm: bytes, *, sample_rate: int, language: str | None) -> Transcript:
        raise AsrNotConfiguredError("no recogniser is configured")

    async def probe(self) -> str:
        return "no recogniser: typed turns only"

    async def close(self) -> None:
        return

"""The recogniser pocketsphinx (an optional extra): offline, English only, and rough: expect wrong words.

It holds the interpreter's lock while it works, so it lives in a process of its own.
"""

import importlib.util
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from .base import Transcript
from .worker_process import WorkerError, WorkerProcess

if importlib.util.find_spec("pocketsphinx") is None:
    raise ImportError("ASR sphinx needs the package pocketsphinx: pip install pocketsphinx==5.0.4")

SAMPLE_RATE = 16_000
QUIET = 200  # of 32,768: below this the decoder hears words in what nobody said
WORKER = Path(__file__).with_name("sphinx_worker.py")


class SphinxAsrConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    # For one utterance, including the wait for others: it works at about the speed of speech.
    timeout_s: float = Field(default=20.0, gt=0, le=120)


class SphinxAsr:
    Config: ClassVar[type[SphinxAsrConfig]] = SphinxAsrConfig

    def __init__(self, config: SphinxAsrConfig) -> None:
        # -P: the script's own folder has modules named like packages.
        self._worker = WorkerProcess([sys.executable, "-P", str(WORKER)], config.timeout_s)

    async def transcribe(self, pcm: bytes, *, sample_rate: int, language: str | None) -> Transcript:
        if sample_rate != SAMPLE_RATE:
            raise WorkerError(f"sphinx hears {SAMPLE_RATE} Hz, not {sample_rate} Hz")
        if not _has_sound(pcm):
            return Transcript("", "en")
        return Transcript((await self._worker.ask(pcm)).decode(), "en")

    async def probe(self) -> str:
        await self._worker.ask(bytes(SAMPLE_RATE))
        return "pocketsphinx in a process of its own (English, rough)"

    async def close(self) -> None:
        await self._worker.close()


def _has_sound(pcm: bytes) -> bool:
    samples = np.frombuffer(pcm, np.int16)
    return bool(samples.size) and int(np.abs(samples.astype(np.int32)).max()) >= QUIET

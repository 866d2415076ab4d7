"""Replies as WAV files, and a way to hear them where the system has a player."""

import asyncio
import shutil
import tempfile
import wave
from pathlib import Path

_PLAYERS = ("pw-play", "paplay", "aplay", "afplay")


def write_wav(path: Path, pcm: bytes, sample_rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm)


def find_player() -> str | None:
    return next((found for name in _PLAYERS if (found := shutil.which(name))), None)


async def play(player: str, pcm: bytes, sample_rate: int) -> None:
    """Play to the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reply.wav"
        write_wav(path, pcm, sample_rate)
        process = await asyncio.create_subprocess_exec(player, str(path))
        await process.wait()

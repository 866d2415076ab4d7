"""The embedded voice, for real: it needs no file but its wheel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
import pytest
from pydantic import ValidationError

from xiaozhi_server.core.providers.tts.base import AudioFormat
from xiaozhi_server.core.providers.tts.espeak import LONGEST_PIECE, EspeakTts, pieces_of
from xiaozhi_server.core.providers.tts.espeak_library import (
    LIBRARY,
    LONGEST_DATA_PATH,
    SAMPLE_RATE,
    EspeakError,
    EspeakLibrary,
)


@asynccontextmanager
async def voice(**settings: Any) -> AsyncIterator[EspeakTts]:
    tts = EspeakTts(EspeakTts.Config.model_validate(settings))
    try:
        yield tts
    finally:
        await tts.close()


async def speak(tts: EspeakTts, text: str, language: str | None = None) -> bytes:
    return b"".join([piece async for piece in tts.synthesize(text, language=language)])


def seconds(pcm: bytes) -> float:
    return len(pcm) / 2 / SAMPLE_RATE


@pytest.mark.parametrize("text", ["My favourite colour is teal.", "我最喜欢的颜色是青色。", "Привет, как дела?"])
async def test_it_speaks(text: str) -> None:
    async with voice() as tts:
        assert tts.audio_format == AudioFormat("pcm", SAMPLE_RATE)
        pcm = await speak(tts, text)
        assert 0.7 < seconds(pcm) < 5
        assert np.abs(np.frombuffer(pcm, np.int16)).max() > 3000


async def test_many_sentences_at_once_do_not_mix() -> None:
    async with voice() as tts:
        # The library adds a little noise of its own, so lengths are compared.
        alone = {text: seconds(await speak(tts, text)) for text in ("One two three four.", "四五六。", "Seven.")}
        assert len({round(length, 1) for length in alone.values()}) == 3
        texts = list(alone) * 10
        together = await asyncio.gather(*(speak(tts, text) for text in texts))
        assert [seconds(pcm) for pcm in together] == pytest.approx([alone[text] for text in texts], abs=0.05)


async def test_settings_are_heard() -> None:
    async with voice(words_per_minute=100) as slow, voice(words_per_minute=300) as quick, voice(volume=20) as quiet:
        text = "One two three four five."
        slowly, quickly, quietly = await speak(slow, text), await speak(quick, text), await speak(quiet, text)
        assert seconds(slowly) > 1.8 * seconds(quickly)
        assert np.abs(np.frombuffer(quietly, np.int16)).max() < 8000


async def test_what_cannot_be_spoken_is_no_error() -> None:
    async with voice() as tts:
        assert await speak(tts, "") == b""
        assert await speak(tts, " \n ") == b""
        for text in ("\0", "a\0b", "😀", "\ud800", "\u202e", "<break/>", "."):
            await speak(tts, text)


async def test_what_follows_a_nul_is_spoken() -> None:
    async with voice() as tts:
        assert seconds(await speak(tts, "one\0two three four")) > seconds(await speak(tts, "one")) + 0.4


async def test_a_long_text_comes_in_pieces() -> None:
    async with voice() as tts:
        sound = tts.synthesize("word " * 200, language=None)
        first = await anext(sound)
        await sound.aclose()
        assert 10 < seconds(first) < 60


def test_pieces_are_short_and_lose_nothing() -> None:
    text = "some words of mine " * 100
    pieces = list(pieces_of(text))
    assert " ".join(pieces) == text.strip()
    assert max(map(len, pieces)) <= LONGEST_PIECE
    assert "".join(pieces_of("字" * 1000)) == "字" * 1000


async def test_an_unknown_voice_is_said() -> None:
    async with voice(voice="klingon-opera") as tts:
        with pytest.raises(EspeakError, match="klingon-opera"):
            await tts.probe()


async def test_probe_speaks() -> None:
    async with voice() as tts:
        assert "espeak-ng" in await tts.probe()


def test_its_settings_are_checked() -> None:
    for wrong in ({"speed": 1}, {"words_per_minute": 5}, {"pitch": 101}):
        with pytest.raises(ValidationError):
            EspeakTts.Config.model_validate(wrong)


def test_data_in_a_deep_folder_is_reached_by_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("deep" * 40) / "espeak-ng-data"
    deep.parent.mkdir()
    deep.symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(deep))
    short = EspeakLibrary()._data_path()
    assert len(str(short)) <= LONGEST_DATA_PATH
    assert (short / "phontab").is_file()


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The library misses its first call. There is one library in a process, so it is this one."""
    asked: list[bytes] = []
    speak_really = LIBRARY._synth

    def synth(encoded: bytes) -> bytes:
        asked.append(encoded)
        return speak_really(encoded) if len(asked) > 1 else bytes(352)

    monkeypatch.setattr(LIBRARY, "_synth", synth)
    return asked


def test_a_sentence_that_the_library_missed_is_asked_for_again(missed: list[bytes]) -> None:
    assert seconds(LIBRARY.synthesize("My favourite colour is teal.", "en-us", EspeakTts.Config())) > 0.7
    assert len(missed) == 2


def test_what_has_no_word_is_asked_for_once(missed: list[bytes]) -> None:
    assert len(LIBRARY.synthesize("...", "en-us", EspeakTts.Config())) == 352
    assert len(missed) == 1

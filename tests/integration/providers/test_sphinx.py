"""The optional English recogniser. It is rough: only that it hears something is expected."""

import importlib
import sys
from contextlib import aclosing

import numpy as np
import pytest

from xiaozhi_server.core.providers.tts.espeak import EspeakTts

MODULE = "xiaozhi_server.core.providers.asr.sphinx"


async def spoken(text: str) -> bytes:
    """At 16 kHz; how well it is resampled does not matter here."""
    tts = EspeakTts(EspeakTts.Config())
    sound = tts.synthesize(text, language="en")
    async with aclosing(sound):
        pcm = np.frombuffer(b"".join([piece async for piece in sound]), np.int16)
    await tts.close()
    positions = np.arange(0, pcm.size, tts.audio_format.sample_rate / 16_000)
    return bytes(np.interp(positions, np.arange(pcm.size), pcm).astype(np.int16))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)  # Python's own way to say: not installed
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    with pytest.raises(ImportError, match="pip install pocketsphinx"):
        importlib.import_module(MODULE)


async def test_it_hears_english() -> None:
    module = importlib.import_module(MODULE)
    asr = module.SphinxAsr(module.SphinxAsr.Config(timeout_s=60))
    assert "English" in await asr.probe()
    transcript = await asr.transcribe(await spoken("one two three four five"), sample_rate=16_000, language="en")
    assert transcript.text
    silence = await asr.transcribe(bytes(32_000), sample_rate=16_000, language="en")
    assert silence.text == ""
    await asr.close()

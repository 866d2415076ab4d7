"""Makes the voice of a turn, and has it speak the server's fixed phrases once ahead of time.

A phrase that was kept can be spoken when the voice is slow or dead, and at once.
"""

from collections.abc import Iterable
from typing import Final

from ..providers.tts.base import Tts
from ..texts import Phrase, phrase
from .answer import cut_whole
from .inputs import TurnServices
from .voice import Voice

KEPT_PHRASES: Final = (Phrase.FILLER, Phrase.LLM_FAILED, Phrase.ASR_FAILED)


def make_voice(services: TurnServices) -> Voice:
    return _voice_of(services.tts, services)


def make_spare_voice(services: TurnServices) -> Voice | None:
    """The one that steps in where the chosen one fails."""
    return _voice_of(services.spare_tts, services) if services.spare_tts is not None else None


def _voice_of(tts: Tts, services: TurnServices) -> Voice:
    options = services.options
    return Voice(
        tts,
        services.executor,
        sample_rate=options.sample_rate,
        frame_ms=options.frame_ms,
        stall_timeout_s=options.tts_stall_timeout_s,
        max_sentence_audio_s=options.max_sentence_audio_s,
    )


async def warm_phrases(services: TurnServices, languages: Iterable[str]) -> int:
    """Keep the fallback phrases in these languages; returns how many pieces could be spoken. Never raises."""
    voice = make_voice(services)
    pieces = [
        (piece, language) for language in languages for which in KEPT_PHRASES for piece in _pieces_of(which, language)
    ]
    results = [await _keep(services, voice, piece, language) for piece, language in pieces]
    return sum(results)


def _pieces_of(which: Phrase, language: str) -> list[str]:
    """As a turn asks for them: the filler is one piece."""
    text = phrase(which, language)
    return [text] if which is Phrase.FILLER else cut_whole(text)[0]


async def _keep(services: TurnServices, voice: Voice, piece: str, language: str) -> bool:
    packets: list[bytes] = []
    error = await voice.speak(piece, language, services.options.tts_first_audio_timeout_s, packets.extend)
    if error is None:
        services.phrases.put(piece, language, tuple(packets))
    return error is None

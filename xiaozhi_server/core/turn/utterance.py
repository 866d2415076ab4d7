"""What was said to the server, and by whom where the voice is known. Knows no recogniser."""

from dataclasses import dataclass
from typing import Final

from ..providers.memory.speaker import known_name, unwrapped

MAX_TRANSCRIPT_CHARS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Utterance:
    text: str
    speaker: str | None = None


def typed(text: str) -> Utterance:
    """Whoever typed may say who it is, in the form that recognisers use."""
    said, speaker = unwrapped(text)
    return Utterance(said.strip(), speaker)


def spoken(text: str, speaker: str | None) -> Utterance:
    """Of a recogniser's answer; an empty text if it was nothing with a word in it."""
    said, named = unwrapped(text.encode("utf-8", "replace").decode().replace("\0", " "))
    said = " ".join(said.split())[:MAX_TRANSCRIPT_CHARS]
    return Utterance(said if any(map(str.isalnum, said)) else "", named or known_name(speaker))

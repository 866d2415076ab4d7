"""Cuts a text into sentences, and those into pieces where one is longer than may be. Nothing gets lost."""

import re
from collections.abc import Callable

_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？\n]+[\"'”’」』)）]*\s*|\Z)")


def sentences_of(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]


def pieces_of(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in as few pieces as fit: whole sentences where that is possible."""
    pieces: list[str] = []
    for part in _fitting(_SENTENCE.findall(text), fits):
        if pieces and fits(pieces[-1] + part):
            pieces[-1] += part
        else:
            pieces.append(part)
    return [piece.strip() for piece in pieces if piece.strip()]


def _fitting(sentences: list[str], fits: Callable[[str], bool]) -> list[str]:
    """A sentence that is too long is halved, between words if it has any."""
    parts: list[str] = []
    for sentence in sentences:
        if fits(sentence) or len(sentence) < 2:
            parts.append(sentence)
            continue
        middle = len(sentence) // 2
        blank = sentence.rfind(" ", 1, middle + 1)
        cut = blank if blank > middle // 2 else middle
        parts += _fitting([sentence[:cut], sentence[cut:]], fits)
    return parts

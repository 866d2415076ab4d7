"""Cuts a text into sentences, and those into pieces where one is longer than may be. Nothing gets lost."""

import re
from collections.abc import Callable

_SENTENCE = re.compile(r"[^.!?。！？\n]*(?:[.!?。！？\n]+[\"'”’」』)）]*\s*|\Z)")


def sentences_of(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE.findall(text) if sentence.strip()]


def pieces_of(text: str, cost: Callable[[str], int], most: int) -> list[str]:
    """The text in few pieces, none of which costs more than that: whole sentences where that is possible."""
    pieces: list[str] = []
    left = 0
    for part in _parts(_SENTENCE.findall(text), cost, most):
        price = cost(part)
        if pieces and price <= left:
            pieces[-1] += part
            left -= price
        else:
            pieces.append(part)
            left = most - price
    return [piece.strip() for piece in pieces if piece.strip()]


def _parts(sentences: list[str], cost: Callable[[str], int], most: int) -> list[str]:
    """A sentence that costs too much is halved, between words if it has any."""
    parts: list[str] = []
    for sentence in sentences:
        if len(sentence) < 2 or cost(sentence) <= most:
            parts.append(sentence)
            continue
        middle = len(sentence) // 2
        blank = sentence.rfind(" ", 1, middle + 1)
        cut = blank if blank > middle // 2 else middle
        parts += _parts([sentence[:cut], sentence[cut:]], cost, most)
    return parts

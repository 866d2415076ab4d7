"""Short fixed phrases (wake words, exit commands), recognised however they are spelled."""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def normalise_phrase(text: str) -> str:
    """Without case, width, spaces and punctuation: what is left are letters, digits and marks."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LNM")


class PhraseSet:
    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = frozenset(filter(None, map(normalise_phrase, phrases)))

    def __contains__(self, text: str) -> bool:
        return normalise_phrase(text) in self._phrases


@lru_cache(maxsize=64)
def phrase_set(phrases: tuple[str, ...]) -> PhraseSet:
    """The same phrases are asked for with every connection."""
    return PhraseSet(phrases)

"""Keeps the sound of the server's own phrases, so that they can be spoken when the voice is slow or dead."""

from collections import OrderedDict

LIMIT = 64


class PhraseBook:
    """Opus packets by text and language, the least used ones forgotten."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._packets: OrderedDict[tuple[str, str], tuple[bytes, ...]] = OrderedDict()

    def get(self, text: str, language: str) -> tuple[bytes, ...] | None:
        key = (text, language)
        if key in self._packets:
            self._packets.move_to_end(key)
        return self._packets.get(key)

    def put(self, text: str, language: str, packets: tuple[bytes, ...]) -> None:
        self._packets[(text, language)] = packets
        self._packets.move_to_end((text, language))
        while len(self._packets) > self._limit:
            self._packets.popitem(last=False)

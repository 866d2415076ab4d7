"""Which memories are about which things, as a statement tells it: small enough to keep at hand beside the memories."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

_PAIR = 32  # bytes of two UUIDs

Halves = npt.NDArray[np.uint64]  # two for a UUID
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ThingLinks:
    """n links: the n-th memory is about the n-th thing."""

    memories: Halves
    things: Halves

    @property
    def nbytes(self) -> int:
        return self.memories.nbytes + self.things.nbytes

    def about(self, things: Collection[UUID], rows: Halves) -> Flags | None:
        """Which of the rows with these ids are about one of the things; None where that is none of them."""
        if not things or not len(self.memories):
            return None
        asked = np.frombuffer(b"".join(thing.bytes for thing in things), ">u8").reshape(-1, 2).astype(np.uint64)
        memories = self.memories[_among(self.things, asked)]
        return _among(rows, memories) if len(memories) else None


def links_in(sent: bytes | None) -> ThingLinks:
    """From pairs of a memory's and a thing's id, one behind the other."""
    if not sent:
        return NO_LINKS
    assert len(sent) % _PAIR == 0
    pairs = np.frombuffer(sent, ">u8").reshape(-1, 4).astype(np.uint64)
    return ThingLinks(pairs[:, :2], pairs[:, 2:])


def _among(ids: Halves, wanted: Halves) -> Flags:
    """By their second halves, which hardly two share; only what fits is looked at in full."""
    found: Flags = np.isin(ids[:, 1], wanted[:, 1])
    known = set(map(tuple, wanted.tolist()))
    places = np.flatnonzero(found)
    found[places] = [tuple(id) in known for id in ids[places].tolist()]
    return found


_NONE = np.zeros((0, 2), np.uint64)
NO_LINKS = ThingLinks(_NONE, _NONE)

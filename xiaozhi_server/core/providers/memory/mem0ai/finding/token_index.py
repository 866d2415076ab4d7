"""Which rows of an owner have which words, as plain arrays: a word is looked up without touching the rest."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

# The binary form of an array of int4: dimensions, a flag, the type, then length and first index, then each element
# behind its size. An empty array has no dimensions.
_HEAD = 5
_EMPTY = 3
_COUNT_MAX = 255


@dataclass(frozen=True, slots=True)
class Hits:
    """Where the asked tokens stand: parallel arrays, one element for each row that has a token."""

    rows: npt.NDArray[np.intp]
    counts: npt.NDArray[np.uint8]
    slots: npt.NDArray[np.intp]  # which of the asked tokens it is


@dataclass(frozen=True, slots=True)
class TokenIndex:
    """`vocabulary` is sorted; the rows with its n-th token are `rows[starts[n]:starts[n + 1]]`."""

    size: int
    vocabulary: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint8]

    @property
    def size_bytes(self) -> int:
        return self.vocabulary.nbytes + self.starts.nbytes + self.rows.nbytes + self.counts.nbytes

    def hits(self, tokens: Collection[int]) -> Hits:
        asked = np.fromiter(tokens, np.int32, len(tokens))
        if not len(asked) or not len(self.vocabulary):
            return _NO_HITS
        places = self.vocabulary.searchsorted(asked)
        known = np.flatnonzero(self.vocabulary.take(places, mode="clip") == asked)
        if not len(known):
            return _NO_HITS
        spans = [self.starts[place : place + 2].tolist() for place in places[known].tolist()]
        return Hits(
            np.concatenate([self.rows[begin:end] for begin, end in spans]).astype(np.intp),
            np.concatenate([self.counts[begin:end] for begin, end in spans]),
            np.repeat(known, [end - begin for begin, end in spans]),
        )

    def distinct(self) -> npt.NDArray[np.int32]:
        """How many different tokens each row has."""
        return np.bincount(self.rows, minlength=self.size).astype(np.int32)

    def take(self, order: npt.NDArray[np.intp]) -> "TokenIndex":
        """Of these rows only, in this order."""
        new = np.full(self.size, -1, np.int64)
        new[order] = np.arange(len(order))
        rows = new[self.rows]
        kept = rows >= 0
        return _built(len(order), self._tokens()[kept], rows[kept], self.counts[kept])

    def _tokens(self) -> Integers:
        return np.repeat(self.vocabulary.astype(np.int64), np.diff(self.starts))


_NO_HITS = Hits(np.zeros(0, np.intp), np.zeros(0, np.uint8), np.zeros(0, np.intp))


def joined(parts: Sequence[TokenIndex]) -> TokenIndex:
    """The rows of one part behind those of the other."""
    starts = np.cumsum([0, *(part.size for part in parts)]).tolist()
    return _built(
        starts[-1],
        np.concatenate([part._tokens() for part in parts]),
        np.concatenate([part.rows + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.counts for part in parts]),
    )


def index_of(size: int, tokens: npt.NDArray[np.signedinteger], rows: npt.NDArray[np.signedinteger]) -> TokenIndex:
    """Of `size` rows: `tokens` stand, with repetitions and in any order, in `rows`."""
    keys, counts = np.unique((tokens.astype(np.int64) << 32) | rows, return_counts=True)
    return _sorted(size, keys, np.minimum(counts, _COUNT_MAX).astype(np.uint8))


def flat_words(arrays: bytes, lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The elements of arrays of int4 that stand one behind the other in binary form, having so many elements each."""
    numbers = np.frombuffer(arrays, ">i4")
    widths = np.where(lengths > 0, _HEAD + 2 * lengths, _EMPTY)
    starts = np.cumsum(widths) - widths
    within = np.arange(len(numbers)) - np.repeat(starts, widths)
    # Behind the head every other number is an element, the ones between are their sizes.
    elements: npt.NDArray[np.int32] = numbers[(within > _HEAD) & (within % 2 == 0)].astype(np.int32)
    return elements


def _built(
    size: int, tokens: Integers, rows: npt.NDArray[np.signedinteger], counts: npt.NDArray[np.uint8]
) -> TokenIndex:
    keys = (tokens << 32) | rows
    order = np.argsort(keys)
    return _sorted(size, keys[order], counts[order])


def _sorted(size: int, keys: Integers, counts: npt.NDArray[np.uint8]) -> TokenIndex:
    tokens = keys >> 32
    begins = np.flatnonzero(np.diff(tokens, prepend=tokens[:1] - 1))
    return TokenIndex(
        size,
        tokens[begins].astype(np.int32),
        np.append(begins, len(keys)).astype(np.int32),
        (keys & 0xFFFFFFFF).astype(np.int32),
        counts,
    )

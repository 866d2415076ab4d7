"""All that one owner may be reminded of, in a form that is searched without the database (see owner_search.py).

The rows of an index may also be a part of an owner's, fetched by a statement for one question.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..embedding.embed import Vectors
from ..recall.rank import Held
from ..recall.things import NOTHING_KNOWN, Things
from ..recall.traits import traits_of
from ..records import StoredMemory
from ..rows.halfvec import Halves, halves_of, inverse_norms
from . import owner_rows, token_index
from .owner_rows import Id, OwnerRows
from .thing_links import NO_LINKS, ThingLinks
from .token_index import TokenIndex, flat_words

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

# What `read` takes: the columns of the rows, then the words (how many, and which) and the vectors; or instead of these
# how near they are to the question's.
_WORDS = f"""{owner_rows.COLUMNS},
       string_agg(int4send(cardinality(entry.words)), ''), string_agg(array_send(entry.words), '')"""
COLUMNS = f"""{_WORDS},
       string_agg(coalesce(CASE WHEN entry.embedder = %(embedder)s THEN halfvec_send(entry.embedding) END,
                           %(no_vector)s), '')"""
COMPARED_COLUMNS = f"""{_WORDS},
       string_agg(float8send(coalesce(CASE WHEN entry.embedder = %(embedder)s
                                           THEN 1 - (entry.embedding <=> %(vector)s::halfvec) END, 'NaN')), '')"""
WIDTH = owner_rows.WIDTH + 3

_BYTES_PER_ROW = 50  # of the arrays that are not counted one by one
_BYTES_MORE = 6000
_BYTES_PER_THING = 1000  # and as many for a relation


@dataclass(frozen=True, slots=True)
class Features:
    """What the ranking knows of each row besides the question (see RowArrays)."""

    traits: npt.NDArray[np.uint8]
    length: npt.NDArray[np.int32]
    distinct: npt.NDArray[np.int32]
    said_at: npt.NDArray[np.float64]
    session: npt.NDArray[np.int32]
    speaker: npt.NDArray[np.int32]
    held: Held | None = None
    apart: Flags | None = None
    mean_length: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean_length", float(self.length.mean()) if len(self.length) else 0.0)

    def take(self, order: Indices) -> "Features":
        return Features(
            self.traits[order],
            self.length[order],
            self.distinct[order],
            self.said_at[order],
            self.session[order],
            self.speaker[order],
            None if self.held is None else (self.held[0][order], self.held[1][order]),
        )


@dataclass(frozen=True, slots=True)
class OwnerIndex:
    """n rows in the order (session, created_at, position, id). `saved` tells them from those that still wait.

    `things` are the owner's, `links` say which rows are about which. `is_part` is whether there may be memories that
    are not to be recalled as things are now, but can be asked for.
    """

    rows: OwnerRows
    tokens: TokenIndex
    halves: Halves  # without dimensions where the database has compared them
    nearness: Vectors  # what a product is multiplied with to be a cosine, or that itself; NaN where there is no vector
    saved: Flags
    features: Features
    ends_at: npt.NDArray[np.float64]
    scopes: tuple[tuple[str, str], ...]  # every agent and run that there is
    scope: npt.NDArray[np.int32]  # which of them a row belongs to
    speakers: tuple[str, ...]
    granted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of which agents an agent may read besides
    things: Things = NOTHING_KNOWN
    links: ThingLinks = NO_LINKS
    is_part: bool = False
    first_end: float = field(init=False)  # when the first row runs out
    comparable: bool = field(init=False)  # whether all have vectors

    def __post_init__(self) -> None:
        object.__setattr__(self, "first_end", float(self.ends_at.min(initial=np.inf)))
        object.__setattr__(self, "comparable", not np.isnan(self.nearness).any())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return (
            self.rows.size_bytes
            + self.tokens.size_bytes
            + self.halves.nbytes
            + self.links.nbytes
            + _BYTES_PER_THING * (len(self.things.things) + len(self.things.relations))
            + _BYTES_PER_ROW * len(self)
            + _BYTES_MORE
        )

    def take(self, order: Indices) -> "OwnerIndex":
        """Of these rows only, in this order."""
        return OwnerIndex(
            self.rows.take(order),
            self.tokens.take(order),
            self.halves[order],
            self.nearness[order],
            self.saved[order],
            self.features.take(order),
            self.ends_at[order],
            self.scopes,
            self.scope[order],
            self.speakers,
        )

    def updated(self, changed: "OwnerIndex", gone: Collection[Id], now_s: float) -> "OwnerIndex":
        """The saved rows that have not run out, those of `changed` as they are there, without those that are `gone`."""
        kept = self.saved & (self.ends_at > now_s)
        if len(changed):
            new = set(changed.rows.id_list())
            kept &= np.array([id not in new for id in self.rows.id_list()], np.bool_)
        elif kept.all():
            return self
        lasting = [row for row, id in enumerate(changed.rows.id_list()) if id not in gone]
        return joined([self.take(np.flatnonzero(kept)), changed.take(np.array(lasting, np.intp))])


def joined(parts: Sequence[OwnerIndex]) -> OwnerIndex:
    """One index of all rows of the same owner."""
    filled = [part for part in parts if len(part)]
    if len(filled) < 2:
        return filled[0] if filled else parts[0]
    return _ordered(
        owner_rows.joined([part.rows for part in filled]),
        token_index.joined([part.tokens for part in filled]),
        np.concatenate([part.halves for part in filled]),
        np.concatenate([part.nearness for part in filled]),
        np.concatenate([part.saved for part in filled]),
        np.concatenate([part.features.traits for part in filled]),
        np.concatenate([part.features.length for part in filled]),
    )


def read(user_id: str, columns: Sequence[Any], dimensions: int, owners: Sequence[str] | None = None) -> OwnerIndex:
    """Saved rows, as a statement found them for COLUMNS; without dimensions, for COMPARED_COLUMNS.

    `owners` are those of the rows where they are not all of one.
    """
    rows = owner_rows.read(user_id, columns, owners)
    if not len(rows):
        return waiting(user_id, (), (), dimensions)
    lengths, words, vectors = columns[owner_rows.WIDTH : WIDTH]
    length = np.frombuffer(lengths, ">i4").astype(np.int32)
    halves, nearness = _compared(vectors) if not dimensions else _comparable(vectors, dimensions)
    return _ordered(
        rows,
        token_index.index_of(len(rows), flat_words(words, length), np.repeat(np.arange(len(rows)), length)),
        halves,
        nearness,
        np.ones(len(rows), np.bool_),
        _traits(rows),
        length,
    )


def waiting(
    user_id: str, memories: Sequence[StoredMemory], tokens: Sequence[Sequence[int]], dimensions: int
) -> OwnerIndex:
    """Rows that wait to be saved: they are found by their words."""
    about = owner_rows.from_memories(user_id, memories)
    length = np.array([len(one) for one in tokens], np.int32)
    flat = np.array([token for one in tokens for token in one], np.int32)
    return _ordered(
        about,
        token_index.index_of(len(memories), flat, np.repeat(np.arange(len(memories)), length)),
        np.zeros((len(memories), dimensions), np.int16),
        np.full(len(memories), np.nan, np.float32),
        np.zeros(len(memories), np.bool_),
        _traits(about),
        length,
    )


def _ordered(
    rows: OwnerRows,
    tokens: TokenIndex,
    halves: Halves,
    nearness: Vectors,
    saved: npt.NDArray[np.bool_],
    traits: npt.NDArray[np.uint8],
    length: npt.NDArray[np.int32],
) -> OwnerIndex:
    session = rows.sessions()
    scopes, scope = rows.scopes()
    speakers, speaker = rows.speakers()
    features = Features(traits, length, tokens.distinct(), rows.said_at_s, session, speaker, rows.held())
    index = OwnerIndex(rows, tokens, halves, nearness, saved, features, rows.ends_at_s, scopes, scope, speakers)
    order = np.lexsort((rows.ids[:, 1], rows.ids[:, 0], rows.positions, rows.times[:, 0], session))
    return index if bool((order[1:] > order[:-1]).all()) else index.take(order)


def _comparable(vectors: bytes, dimensions: int) -> tuple[Halves, Vectors]:
    halves = halves_of(vectors, dimensions)
    return halves, inverse_norms(halves)


def _compared(similarities: bytes) -> tuple[Halves, Vectors]:
    nearness = np.frombuffer(similarities, ">f8").astype(np.float32)
    return np.zeros((len(nearness), 0), np.int16), nearness


def _traits(rows: OwnerRows) -> npt.NDArray[np.uint8]:
    found = [traits_of(text, about.role) for text, about in zip(rows.texts, rows.about, strict=True)]
    return np.array(found, np.uint8)

"""From a question to its answers among the rows of an index: the way is the same wherever the rows come from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..embedding.embed import Vectors
from ..recall.rank import Question, RowArrays, fuse, gain, rarity
from ..records import FoundMemory, StoredMemory
from ..rows.halfvec import dot
from ..scope import Scope
from .extent import NOW, Extent
from .owner_index import Features, Flags, Indices, OwnerIndex
from .token_index import Hits

_FEW = 2000  # up to here it is quicker to sort all than to choose first


class RowFilter(Protocol):
    """A condition on memories, in two forms that mean the same."""

    @property
    def fields(self) -> Collection[str]: ...

    def sql(self) -> tuple[str, Mapping[str, Any]]: ...

    def matches(self, memory: StoredMemory) -> bool: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its vector (rounded as the database keeps them), whose memories it is about, and the time.

    With a wide `extent` only such rows are searched as a statement has chosen: an index at hand holds what is true now.
    """

    question: Question
    vector: Vectors | None
    scope: Scope
    filter: RowFilter | None
    now_s: float
    extent: Extent = NOW


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of all rows in question: how many, how long, and in how many a token stands."""

    size: float
    mean_length: float
    frequency: Mapping[int, int]


def search(index: OwnerIndex, asked: Asked, limit: int, whole: Statistics | None = None) -> list[FoundMemory]:
    """The rows that fit best, the best first and the newer first among equals.

    `whole` are the statistics of all the rows in question where the index holds but a part of them.
    """
    hits = index.tokens.hits(asked.question.tokens)
    similarity = _similarity(index, asked.vector)
    features = index.features
    about = index.links.about(asked.question.things, index.rows.ids)
    over = index.ends_at <= asked.now_s if asked.extent.replaced else None
    chosen = _chosen(index, asked)
    if chosen is not None:
        hits, similarity, features = _hits_in(hits, chosen, len(index)), similarity[chosen], features.take(chosen)
        about, over = (None if flags is None else flags[chosen] for flags in (about, over))
    matched = np.bincount(hits.rows, minlength=len(similarity)).astype(np.int32)
    rows = RowArrays(
        similarity,
        _coverage(asked.question, features, hits, whole),
        features.traits,
        features.distinct,
        matched,
        features.said_at,
        features.session,
        speaker=features.speaker,
        apart=features.apart,
        mentions=_mentions(asked.question, hits, len(similarity)),
        about=about,
        over=over if over is not None and over.any() else None,
        held=features.held,
    )
    score = fuse(asked.question, rows, asked.now_s)
    compared = index.comparable and asked.vector is not None
    best = _best(score, features.said_at, None if compared else _answers(rows), limit)
    memories = index.rows.memories(best if chosen is None else chosen[best])
    numbers = zip(memories, score[best].tolist(), similarity[best].tolist(), strict=True)
    return [
        FoundMemory(memory, value, min(1.0, max(0.0, near)) if near == near else None)
        for memory, value, near in numbers
    ]


def _similarity(index: OwnerIndex, vector: Vectors | None) -> Vectors:
    if not index.halves.shape[1]:
        return index.nearness
    norm = 0.0 if vector is None else float(np.dot(vector, vector)) ** 0.5
    if vector is None or not norm:
        return np.full(len(index), np.nan, np.float32)
    near = dot(index.halves, vector / np.float32(norm))
    near *= index.nearness
    return near


def _chosen(index: OwnerIndex, asked: Asked) -> Indices | None:
    """The rows that are asked for, in order; None for all of them."""
    scope = asked.scope.reading(index.granted.get(asked.scope.agent_id or "", ()))
    inside = [scope.has(*pair) for pair in index.scopes]
    if asked.filter is None and all(inside) and (asked.extent.is_wide or index.first_end > asked.now_s):
        return None
    wanted = np.ones(len(index), np.bool_) if asked.extent.is_wide else index.ends_at > asked.now_s
    wanted &= np.array(inside, np.bool_)[index.scope]
    if asked.filter is not None:
        among = np.flatnonzero(wanted)
        wanted[among] = [asked.filter.matches(memory) for memory in index.rows.memories(among)]
    return np.flatnonzero(wanted)


def _hits_in(hits: Hits, chosen: Indices, size: int) -> Hits:
    place = np.full(size, -1, np.intp)
    place[chosen] = np.arange(len(chosen))
    rows = place[hits.rows]
    kept = rows >= 0
    return Hits(rows[kept], hits.counts[kept], hits.slots[kept])


def _coverage(question: Question, features: Features, hits: Hits, whole: Statistics | None) -> Vectors:
    size = len(features.length)
    if not len(hits.rows):
        return np.zeros(size, np.float32)
    weights = np.fromiter(question.tokens.values(), np.float64, len(question.tokens))
    if whole is None:
        seen = np.bincount(hits.slots, minlength=len(weights))
        whole_size, mean_length = float(size), features.mean_length
    else:
        seen = np.array([whole.frequency.get(token, 0) for token in question.tokens])
        whole_size, mean_length = whole.size, whole.mean_length
    worth = rarity(whole_size, seen) * weights
    worth /= worth.sum()
    gained = gain(hits.counts, features.length[hits.rows], mean_length) * worth[hits.slots]
    covered = np.bincount(hits.rows, gained, size).astype(np.float32)
    return np.minimum(covered, np.float32(1.0), out=covered)


def _mentions(question: Question, hits: Hits, size: int) -> Flags | None:
    """Whether a row has a name that the question asks about."""
    if not question.name_tokens:
        return None
    is_name = np.array([token in question.name_tokens for token in question.tokens], np.bool_)
    mentions = np.zeros(size, np.bool_)
    mentions[hits.rows[is_name[hits.slots]]] = True
    return mentions


def _answers(rows: RowArrays) -> Flags:
    """A row without a vector and without a word of the question is no answer, unless the one beside it is."""
    direct = (rows.matched > 0) | ~np.isnan(rows.similarity)
    answers = direct.copy()
    together = (rows.session[1:] == rows.session[:-1]) & (rows.session[1:] >= 0)
    answers[1:] |= direct[:-1] & together
    answers[:-1] |= direct[1:] & together
    return answers


def _best(score: Vectors, said_at: npt.NDArray[np.float64], answers: Flags | None, limit: int) -> Indices:
    if answers is None and len(score) <= _FEW:
        return np.lexsort((-said_at, -score))[:limit]
    candidates = np.arange(len(score)) if answers is None else np.flatnonzero(answers)
    if len(candidates) > max(_FEW, limit):
        least = np.partition(score[candidates], -limit)[-limit]
        candidates = candidates[score[candidates] >= least]
    best: Indices = candidates[np.lexsort((-said_at[candidates], -score[candidates]))[:limit]]
    return best

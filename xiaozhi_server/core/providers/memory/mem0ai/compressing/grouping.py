"""Puts together what belongs together, so that a summary is about something.

What was said in one session, within a week, stays together; sessions and single texts of the same week join where they
are near in meaning. A group is never larger than a model can read; what finds no group stays as it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ..budget import tokens_in
from ..embedding.embed import Vectors
from .material import Group, Source


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """`near` is the least likeness of two parts that join: 0 is that of texts without anything in common, 1 the same.

    A text of more than `longest` tokens is never shortened to fit in: it stays as it is.
    """

    least: int = 3
    most: int = 24
    tokens: int = 1500
    longest: int = 500
    near: float = 0.3


def groups_of(sources: Iterable[Source], limits: GroupLimits, *, floor: float) -> list[Group]:
    """`floor` is how near the embedder finds texts that have nothing in common."""
    short = [source for source in sources if tokens_in(source.text) <= limits.longest]
    parts = [_Part.of(run) for session in _sessions(short) for run in _runs(session, limits)]
    joined = _joined(parts, limits, floor)
    groups = [sorted(part.sources, key=lambda one: one.created_at) for part in joined if len(part) >= limits.least]
    return sorted(groups, key=lambda group: group[0].created_at)


@dataclass(frozen=True, slots=True)
class _Part:
    sources: tuple[Source, ...]
    tokens: int
    vector: Vectors | None  # in the middle of its texts; None where none of them has one

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def of(cls, sources: Sequence[Source]) -> "_Part":
        vectors = [source.vector for source in sources if source.vector is not None]
        tokens = sum(tokens_in(source.text) for source in sources)
        return cls(tuple(sources), tokens, _unit(np.mean(vectors, axis=0)) if vectors else None)


def _sessions(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """What belongs to no session stands for itself."""
    by_session = sorted(sources, key=lambda one: (one.session_id, one.created_at))
    for session_id, part in groupby(by_session, key=lambda one: one.session_id):
        together = list(part)
        yield from [together] if session_id else ([one] for one in together)


def _runs(session: Sequence[Source], limits: GroupLimits) -> Iterator[list[Source]]:
    """A session in pieces that are not too large."""
    run: list[Source] = []
    tokens = 0
    for source in session:
        size = tokens_in(source.text)
        if run and (len(run) >= limits.most or tokens + size > limits.tokens):
            yield run
            run, tokens = [], 0
        run.append(source)
        tokens += size
    yield run


def _joined(parts: list[_Part], limits: GroupLimits, floor: float) -> list[_Part]:
    """The nearest two become one, as long as any are near enough and not too large together."""
    if not parts or len({_dimensions(part) for part in parts if part.vector is not None}) != 1:
        return parts
    width = max(map(_dimensions, parts))
    vectors = np.stack([np.zeros(width, np.float32) if one.vector is None else one.vector for one in parts])
    sizes = np.array([(len(part), part.tokens) for part in parts])
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1.0)
    least = floor + limits.near * (1.0 - floor)
    merged: list[_Part | None] = list(parts)
    while True:
        one, other = divmod(int(near.argmax()), len(parts))
        if near[one, other] < least:
            return [part for part in merged if part is not None]
        if (sizes[one] + sizes[other] > (limits.most, limits.tokens)).any():
            near[one, other] = near[other, one] = -1.0
            continue
        part = merged[one] = _Part.of([*_sources(merged[one]), *_sources(merged[other])])
        merged[other] = None
        sizes[one] += sizes[other]
        vectors[one], vectors[other] = part.vector, 0.0
        near[one] = near[:, one] = vectors @ vectors[one]
        near[other] = near[:, other] = near[one, one] = -1.0
        gone = [place for place, left in enumerate(merged) if left is None]
        near[one, gone] = near[gone, one] = -1.0


def _sources(part: _Part | None) -> Sequence[Source]:
    return () if part is None else part.sources


def _dimensions(part: _Part) -> int:
    return 0 if part.vector is None else len(part.vector)


def _unit(vector: Vectors) -> Vectors:
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length else vector, np.float32)

"""The same ranking for callers that hold a few texts and no arrays."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

import numpy as np
import numpy.typing as npt

from .named import speaker_number
from .rank import Floats, Question, RowArrays, fuse, gain, rarity
from .traits import traits_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """One remembered text as the ranking sees it. `similarity` is None where there is no vector to compare."""

    id: str
    text: str
    role: str
    timestamp: datetime
    tokens: Sequence[int]
    similarity: float | None
    session: str = ""
    position: int = 0
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the owner's whole memory looks like: how many texts, how long, and in how many a token stands."""

    size: int = 0
    mean_length: float = 0.0
    frequency: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranked:
    candidate: Candidate
    score: float
    semantic_score: float | None


def rank(question: Question, candidates: Sequence[Candidate], corpus: Corpus, now: datetime) -> list[Ranked]:
    """All candidates, the best first; the newer first among equals."""
    if not candidates:
        return []
    ordered = sorted(candidates, key=lambda one: (one.session, one.timestamp, one.position))
    scores = fuse(question, _arrays(question, ordered, corpus), now.timestamp())
    ranked = [
        Ranked(one, float(score), None if one.similarity is None else min(1.0, max(0.0, one.similarity)))
        for one, score in zip(ordered, scores, strict=True)
    ]
    return sorted(ranked, key=lambda one: (one.score, one.candidate.timestamp), reverse=True)


def _arrays(question: Question, candidates: Sequence[Candidate], corpus: Corpus) -> RowArrays:
    distinct = [set(one.tokens) for one in candidates]
    return RowArrays(
        np.array([math.nan if one.similarity is None else one.similarity for one in candidates], np.float32),
        _coverage(question, candidates, corpus),
        np.array([traits_of(one.text, one.role) for one in candidates], np.uint8),
        np.array([len(tokens) for tokens in distinct], np.int32),
        np.array([len(tokens & question.tokens.keys()) for tokens in distinct], np.int32),
        np.array([one.timestamp.timestamp() for one in candidates], np.float64),
        _ordinals([one.session for one in candidates]),
        np.array([speaker_number(one.speaker) for one in candidates], np.int32),
        mentions=np.array([not tokens.isdisjoint(question.name_tokens) for tokens in distinct], np.bool_),
    )


def _coverage(question: Question, candidates: Sequence[Candidate], corpus: Corpus) -> Floats:
    seen = [corpus.frequency.get(token, 0) for token in question.tokens]
    worth = rarity(corpus.size, seen) * np.fromiter(question.tokens.values(), np.float64, len(seen))
    covered = np.zeros(len(candidates), np.float32)
    if not worth.sum():
        return covered
    lengths = [len(one.tokens) for one in candidates]
    counts = [Counter(one.tokens) for one in candidates]
    for token, value in zip(question.tokens, worth / worth.sum(), strict=True):
        covered += np.float32(value) * gain([count[token] for count in counts], lengths, corpus.mean_length)
    return np.minimum(covered, np.float32(1.0))


def _ordinals(sessions: Sequence[str]) -> npt.NDArray[np.int32]:
    runs = ((name, len(list(run))) for name, run in groupby(sessions))
    numbers = [[number if name else -1] * count for number, (name, count) in enumerate(runs)]
    return np.array([number for run in numbers for number in run], np.int32)

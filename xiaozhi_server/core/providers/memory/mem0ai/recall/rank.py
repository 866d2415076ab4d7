"""The one ranking. Pure arithmetic over rows that the caller has fetched and compared already.

A row's relevance is the share of the question's words that it has (BM25) mixed with how near it is in meaning. Then

- it is lifted by the rows right before and after it in the same session, more so if the one before asks something,
  by the best row of its session, and by lying near the time that the question names, or having been true then;
- it is lifted if it is known to be about a person or a thing that the question is about, by name or by relation
  ("my sister"), however it calls them; their names count as words of the question, if less than its own;
- it loses if it asks, replies, says nothing, or is neither by nor about the person whom the question names, and if it
  still holds where the question asks how it was before;
- being new decides between equals.

`score` lies in 0..1 and means the same for every question: 1 would be a memory that says exactly what was asked for,
in the same words, just now.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import numpy.typing as npt

from .asked_past import asks_how_it_was
from .asked_things import asked_things
from .asked_time import AskedTime, asked_time
from .named import NOBODY, in_first_person, name_tokens, named_in, speaker_number
from .things import NOTHING_KNOWN, Things, names_of
from .traits import ADDRESSES, ASKS, ASSISTANT, IGNORANCE
from .words import query_tokens, unspaced_share

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Held = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]  # from when, until when; in seconds since 1970

_SATURATION = 1.2  # BM25's k1: how fast repeating a word stops helping
_LENGTH_PULL = 0.4  # BM25's b: spoken lines are short, so length says little
_WORDS_WEIGHT = 0.4  # the rest is meaning
_WORDS_WEIGHT_FOREIGN = 0.85  # where the embedder does not know the language

# Lifts: each is a share of what is missing to 1. Together they are at most 1.
_LIFT_BY_PREVIOUS = 0.25  # a talk stays with its subject
_LIFT_BY_QUESTION = 0.15  # an answer need not repeat what was asked
_LIFT_BY_NEXT = 0.2
_LIFT_BY_SESSION = 0.1
_LIFT_BY_TIME = 0.3
_TIME_HALF_LIFE_S = 7 * 86400.0  # something is talked about before it happens and after

# A lift of its own, again a share of what is then missing to 1.
_LIFT_BY_THING = 0.35

_QUESTION_WEIGHT = 0.85  # a question mostly says nothing about anybody
_ASSISTANT_WEIGHT = 0.8  # what the person said counts more than what was said back
_EMPTY_WEIGHT = 0.15  # an echo of the question, or an answer that did not know: both would come back for ever
_OTHER_SPEAKER_WEIGHT = 0.65  # the question names somebody else
_STILL_SO_WEIGHT = 0.7  # the question asks how it was before
_RECENCY_WEIGHT = 0.03  # decides between equals and hardly more
_RECENCY_HALF_LIFE_S = 30.0 * 86400


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: its tokens with their weights, how far its vector can be trusted, whom and when it is about.

    `floor` is how near texts are that have nothing in common: 0.05 with one embedder, 0.75 with another.
    `to_embed` is what to compare in meaning. `named` are the speakers' numbers, empty where it is about nobody or all;
    `name_tokens` are those of the tokens that are their names. `things` are those it is about. `before`: it asks how
    things were.
    """

    text: str
    tokens: Mapping[int, float]
    words_weight: float
    to_embed: str
    named: frozenset[int] = frozenset()
    name_tokens: frozenset[int] = frozenset()
    time: AskedTime = field(default_factory=AskedTime)
    floor: float = 0.0
    things: frozenset[UUID] = frozenset()
    before: bool = False


@dataclass(frozen=True, slots=True)
class RowArrays:
    """What the ranking knows of n rows, as parallel arrays in the order (session, said_at, position).

    `session` is an ordinal, -1 for none. Rows side by side with the same ordinal are taken for neighbours, but where
    `apart` says that there are others between them that were not fetched.
    """

    similarity: Floats  # cosine; NaN where there is no vector to compare
    coverage: Floats  # BM25 as a share of what a row with all the question's words would get, 0..1
    traits: npt.NDArray[np.uint8]  # traits.traits_of
    distinct: Integers  # how many different tokens the row has
    matched: Integers  # how many of the question's tokens are among them
    said_at: npt.NDArray[np.float64]  # seconds since 1970, the newer of created and updated
    session: Integers
    speaker: Integers | None = None  # named.speaker_number; None where nobody is known
    apart: npt.NDArray[np.bool_] | None = None  # of each row and the next one
    mentions: npt.NDArray[np.bool_] | None = None  # whether the row has one of the question's `name_tokens`
    about: npt.NDArray[np.bool_] | None = None  # whether the row is about one of the question's `things`
    over: npt.NDArray[np.bool_] | None = None  # whether it is not true any more
    held: Held | None = None  # when it was true, else it is as of `said_at`


def question_of(
    text: str,
    *,
    multilingual: bool,
    speakers: Collection[str] = (),
    things: Things = NOTHING_KNOWN,
    agents: Collection[str] | None = None,
    now_s: float = 0.0,
) -> Question:
    """`multilingual`: whether the embedder understands more than English. `speakers`: all who speak in the memories.

    `things` are what is known of people and things; only those of which these agents heard are of concern.
    """
    foreign = 0.0 if multilingual else unspaced_share(text)
    words_weight = _WORDS_WEIGHT + foreign * (_WORDS_WEIGHT_FOREIGN - _WORDS_WEIGHT)
    named = named_in(text, speakers)
    about_all = set(map(speaker_number, named)) == set(map(speaker_number, speakers))
    time = asked_time(text)
    before = asks_how_it_was(text, names_time=bool(time))
    about = asked_things(text, things, agents, None if before or time.over(now_s) else now_s) if things else []
    return Question(
        text,
        query_tokens(text) if not about else names_of(about) | query_tokens(text),
        words_weight,
        in_first_person(text, named),
        frozenset() if about_all else frozenset(map(speaker_number, named)),
        frozenset() if about_all else name_tokens(named),
        time,
        things=frozenset(thing.id for thing in about),
        before=before,
    )


def rarity(size: float, frequency: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """What a token is worth that stands in `frequency` of `size` rows (BM25's idf); never negative."""
    seen = np.asarray(frequency, np.float64)
    worth: npt.NDArray[np.float64] = np.log1p((np.maximum(size, seen) - seen + 0.5) / (seen + 0.5))
    return worth


def gain(count: npt.ArrayLike, length: npt.ArrayLike, mean_length: float) -> Floats:
    """How much of a token's worth a row gets that has it `count` times among `length` tokens.

    A row's coverage is the sum of worth x question weight x gain over the question's tokens, divided by the sum of
    worth x question weight over all of them, at most 1.
    """
    times = np.asarray(count, np.float32)
    norm = np.asarray(length, np.float32) * np.float32(_SATURATION * _LENGTH_PULL / max(mean_length, 1.0))
    norm += np.float32(_SATURATION * (1 - _LENGTH_PULL))
    norm += times
    share: Floats = times * np.float32(_SATURATION + 1) / norm
    return share


def fuse(question: Question, rows: RowArrays, now_s: float) -> Floats:
    """The score of each row."""
    score = _relevance(question, rows)
    if not len(score):
        return score
    lift = _by_neighbours(score, rows)
    if question.time:
        lift += _by_time(question.time, rows, now_s)
    lift *= 1 - score
    score += lift
    if rows.about is not None:
        score += np.float32(_LIFT_BY_THING) * rows.about * (1 - score)
    score *= _weights(question, rows)
    score *= np.float32(1 - _RECENCY_WEIGHT)
    score += np.float32(_RECENCY_WEIGHT) * _recency(rows.said_at, now_s)
    return score


def _relevance(question: Question, rows: RowArrays) -> Floats:
    """Words and meaning, each 0..1; words alone where there is no vector, meaning alone where there is no word."""
    share = np.float32(question.words_weight if question.tokens else 0.0)
    meaning = rows.similarity - np.float32(question.floor)
    meaning *= np.float32(1 / (1 - question.floor))
    np.clip(meaning, 0.0, 1.0, out=meaning)
    meaning *= 1 - share
    meaning += rows.coverage * share
    relevance: Floats = np.where(np.isnan(meaning), rows.coverage, meaning)
    return relevance


def _by_neighbours(relevance: Floats, rows: RowArrays) -> Floats:
    """How much the rest of its session lifts a row."""
    if rows.session[-1] < 0:  # -1 comes first: there is no session at all
        return np.zeros_like(relevance)
    best = np.zeros(int(rows.session[-1]) + 2, np.float32)  # the last one is of those without a session
    np.maximum.at(best, rows.session, relevance)
    best *= np.float32(_LIFT_BY_SESSION)
    lift: Floats = best[rows.session]
    together = rows.session[1:] == rows.session[:-1]
    if rows.apart is not None:
        together &= ~rows.apart[:-1]
    before = relevance[:-1] * together
    asked = (rows.traits[:-1] & ASKS) != 0
    lift[1:] += before * np.where(
        asked, np.float32(_LIFT_BY_PREVIOUS + _LIFT_BY_QUESTION), np.float32(_LIFT_BY_PREVIOUS)
    )
    lift[:-1] += relevance[1:] * together * np.float32(_LIFT_BY_NEXT)
    lift[rows.session < 0] = 0.0
    return lift


def _by_time(time: AskedTime, rows: RowArrays, now_s: float) -> Floats:
    """1 within a time that the question names, less the further away."""
    since, until = (rows.said_at, rows.said_at) if rows.held is None else rows.held
    oldest, newest = float(since.min()), max(float(since.max()), float(rows.said_at.max()))
    distance = np.full(len(since), np.inf)
    for begin, end in time.spans(oldest, newest, now_s):
        np.minimum(distance, np.maximum(begin - until, since - end), out=distance)
    np.maximum(distance, 0.0, out=distance)
    distance *= -1 / _TIME_HALF_LIFE_S
    lift: Floats = np.exp2(distance.astype(np.float32))
    lift *= np.float32(_LIFT_BY_TIME)
    return lift


def _weights(question: Question, rows: RowArrays) -> Floats:
    """How much a row is worth besides its relevance, by who says it and whether it says anything."""
    if not question.tokens:
        # "What do you know about me?" has no word of its own: it asks for what was told, whatever it is.
        told: Floats = ((rows.traits & (ASSISTANT | ASKS)) == 0).astype(np.float32)
        return told
    weights: Floats = _BY_TRAITS[rows.traits]
    if question.before and rows.over is not None:
        weights[~rows.over] *= np.float32(_STILL_SO_WEIGHT)
    weights[(rows.matched >= rows.distinct) & ((rows.traits & (ASSISTANT | ASKS)) != 0)] = _EMPTY_WEIGHT
    if question.named and rows.speaker is not None:
        others = rows.speaker != NOBODY
        for speaker in question.named:
            others &= rows.speaker != speaker
        if rows.mentions is not None:
            others &= ~rows.mentions | ((rows.traits & ADDRESSES) != 0)
        weights[others] *= np.float32(_OTHER_SPEAKER_WEIGHT)
    return weights


def _weight_by_traits(traits: int) -> float:
    if traits & ASSISTANT and traits & IGNORANCE:
        return _EMPTY_WEIGHT
    return (_ASSISTANT_WEIGHT if traits & ASSISTANT else 1.0) * (_QUESTION_WEIGHT if traits & ASKS else 1.0)


_BY_TRAITS = np.array([_weight_by_traits(traits) for traits in range(256)], np.float32)


def _recency(said_at: npt.NDArray[np.float64], now_s: float) -> Floats:
    age = np.maximum(now_s - said_at, 0.0).astype(np.float32)
    age *= np.float32(-1 / _RECENCY_HALF_LIFE_S)
    newness: Floats = np.exp2(age)
    return newness

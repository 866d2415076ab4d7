"""The one ranking: how near in meaning, how many of the question's words, how new, and who said it.

Pure arithmetic over candidates that the store has already narrowed down. `score` lies in 0..1 and means the same
for every question: 1 would be a memory that says exactly what was asked for, in the same words, just now.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .words import query_tokens, unspaced_share

_SATURATION = 1.2  # BM25's k1: how fast repeating a word stops helping
_LENGTH_PULL = 0.4  # BM25's b: spoken lines are short, so length says little
_WORDS_WEIGHT = 0.5  # the rest is meaning
_WORDS_WEIGHT_FOREIGN = 0.85  # where the embedder does not know the language
_RECENCY_WEIGHT = 0.03  # decides between equals and hardly more
_RECENCY_HALF_LIFE_DAYS = 30.0
_QUESTION_WEIGHT = 0.8  # a question mostly says nothing about anybody
_ASSISTANT_WEIGHT = 0.8  # what the person said counts more than what was said back
_EMPTY_WEIGHT = 0.15  # an echo of the question, or an answer that did not know: both would come back for ever
_QUESTION_ENDS = ("?", "？", "؟", "吗", "呢", "什么", "什麼", "哪里", "哪裡", "哪儿", "多少", "谁", "誰")
_QUESTION_STARTS = ("what", "which", "who", "whose", "where", "when", "why", "how")
_IGNORANCE = re.compile(
    r"\b(?:not|no|never|n't|can't|cannot|haven't|didn't)\b[^.!?]{0,20}"
    r"\b(?:know|sure|remember|recall|told|tell|mention\w*|idea|memory|memories|information|heard)\b"
    r"|\b(?:don|didn|can|haven|isn|wasn)['’]t\b[^.!?]{0,12}\b(?:know|remember|recall|told|heard|have)\b"
    r"|[不没沒未][^。！？]{0,6}(?:知道|清楚|记得|記得|告诉|告訴|提过|提過|听说|聽說|了解|确定|確定)",
    re.IGNORECASE,
)
_CLOSING = " \t\r\n\"'”’」』)）.。!！~～"


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: its tokens with their weights, and how far its vector can be trusted."""

    tokens: Mapping[int, float]
    words_weight: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One remembered text as the ranking sees it. `similarity` is None where there is no vector to compare."""

    id: str
    text: str
    role: str
    timestamp: datetime
    tokens: Sequence[int]
    similarity: float | None


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


def question_of(text: str, *, multilingual: bool) -> Question:
    """`multilingual`: whether the embedder understands more than English."""
    foreign = 0.0 if multilingual else unspaced_share(text)
    words_weight = _WORDS_WEIGHT + foreign * (_WORDS_WEIGHT_FOREIGN - _WORDS_WEIGHT)
    return Question(query_tokens(text), words_weight)


def rank(question: Question, candidates: Sequence[Candidate], corpus: Corpus, now: datetime) -> list[Ranked]:
    """All candidates, the best first; the newer first among equals."""
    rarity = {token: weight * _rarity(corpus, token) for token, weight in question.tokens.items()}
    ranked = [_scored(candidate, question, rarity, corpus, now) for candidate in candidates]
    return sorted(ranked, key=lambda one: (one.score, one.candidate.timestamp), reverse=True)


def _scored(
    candidate: Candidate, question: Question, rarity: Mapping[int, float], corpus: Corpus, now: datetime
) -> Ranked:
    words = _coverage(candidate.tokens, rarity, corpus.mean_length)
    semantic = None if candidate.similarity is None else min(1.0, max(0.0, candidate.similarity))
    share = question.words_weight if rarity and semantic is not None else float(semantic is None)
    relevance = share * words + (1 - share) * (semantic or 0.0)
    relevance *= _weight_of(candidate, question)
    return Ranked(candidate, (1 - _RECENCY_WEIGHT) * relevance + _RECENCY_WEIGHT * _recency(candidate, now), semantic)


def _rarity(corpus: Corpus, token: int) -> float:
    seen = corpus.frequency.get(token, 0)
    return math.log(1 + (max(corpus.size, seen) - seen + 0.5) / (seen + 0.5))


def _coverage(tokens: Sequence[int], rarity: Mapping[int, float], mean_length: float) -> float:
    """BM25 as a share of what a text with all the question's words would get."""
    whole = sum(rarity.values())
    if not whole:
        return 0.0
    length_norm = 1 - _LENGTH_PULL + _LENGTH_PULL * len(tokens) / max(mean_length, 1.0)
    counts = Counter(token for token in tokens if token in rarity)
    gained = sum(
        rarity[token] * count * (_SATURATION + 1) / (count + _SATURATION * length_norm)
        for token, count in counts.items()
    )
    return min(1.0, gained / whole)


def _weight_of(candidate: Candidate, question: Question) -> float:
    replied = candidate.role == "assistant"
    asks = is_question(candidate.text)
    if not question.tokens and (replied or asks):
        return 0.0  # "What do you know about me?" has no word of its own: it asks for what was told, whatever it is
    if (replied and is_ignorance(candidate.text)) or ((replied or asks) and _is_echo(candidate, question)):
        return _EMPTY_WEIGHT
    return (_ASSISTANT_WEIGHT if replied else 1.0) * (_QUESTION_WEIGHT if asks else 1.0)


def _is_echo(candidate: Candidate, question: Question) -> bool:
    """Whether a text holds no word besides those that are asked for."""
    return question.tokens.keys() >= set(candidate.tokens)


def is_ignorance(text: str) -> bool:
    """Whether a reply says that something is not known."""
    return _IGNORANCE.search(text) is not None


def is_question(text: str) -> bool:
    """A recogniser may leave the mark out, so the words at either end count too."""
    plain = text.strip(_CLOSING).casefold()
    return plain.endswith(_QUESTION_ENDS) or plain.replace("'", " ").split(" ", 1)[0] in _QUESTION_STARTS


def _recency(candidate: Candidate, now: datetime) -> float:
    days = max(0.0, (now - candidate.timestamp).total_seconds() / 86400)
    return float(0.5 ** (days / _RECENCY_HALF_LIFE_DAYS))

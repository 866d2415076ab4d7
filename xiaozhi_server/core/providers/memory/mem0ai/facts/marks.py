"""What two facts must have in common to be one: their words, and what words alone do not tell apart."""

import re
from dataclasses import dataclass
from functools import lru_cache

from ..recall.words import words_of
from . import lexicon

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|hardly|dont|doesnt|didnt|cant|wont|isnt|arent"
    r"|wasnt|nicht|kein\w*|nie|pas|jamais|nunca)\b|n['’]t\b"
    r"|(?<!差)[不没無无未](?![错过但仅断同])|(?<![分特区级])别(?![人的墅名])|从不"
)
_PRONOUNS = {
    "he": "he", "him": "he", "his": "he", "she": "she", "her": "she", "hers": "she", "they": "they", "them": "they",
    "their": "they", "we": "we", "us": "we", "our": "we", "you": "you", "your": "you", "他": "he", "她": "she",
    "他们": "they", "她们": "they", "我们": "we", "咱们": "we", "你": "you", "您": "you",
}  # fmt: skip
_PRONOUN = re.compile(r"\b(?:he|him|his|she|hers?|they|them|their|we|us|our|your?)\b|我们|咱们|[他她]们?|[你您]")
# Words that find nothing and still change what is said.
_TELLING = re.compile(
    r"\b(?:was|were|will|would|could|should|had|did|been|if|from|than|who|used to|before|until|only|except)\b"
    r"|['’](?:ll|d)\b|以前|曾经|将|要是|如果|除了|只|过去|打算|小时候|从前|会"
)
_BEGIN = 6
_WIDE = re.compile("[\u3000-\uffff]")
_FILLING = frozenset("喜欢爱很最太也不没这那一个们常真")  # a pair with one of these is part of a phrase, not a word
_NAME = re.compile(r"(?<![.!?。！？]\s)(?<!^)\b[A-Z][\w'’-]+")
_NO_NAMES = frozenset({"i", "i'm", "i'd", "i've", "i'll", "tv", "ok"})


@dataclass(frozen=True, slots=True)
class Marks:
    """`order` is the words as they come, synonyms made one; `specific` are those that are not said of everything.

    `begin` is where a sentence without spaces names its subject.
    """

    order: tuple[str, ...]
    specific: frozenset[str]
    numbers: tuple[str, ...]
    negations: int
    persons: frozenset[str]
    telling: frozenset[str]
    names: frozenset[str]
    contrasts: frozenset[tuple[int, str]]
    topics: frozenset[int]
    begin: str

    @property
    def words(self) -> frozenset[str]:
        return frozenset(self.order)


@lru_cache(maxsize=4096)
def marks_of(text: str) -> Marks:
    plain = lexicon.plain(text)
    order = tuple(lexicon.SYNONYMS.get(word, word) for word in words_of(plain) if word not in lexicon.SOFT)
    words = frozenset(order)
    names = {word for name in _NAME.findall(text) if name.lower() not in _NO_NAMES for word in words_of(name)}
    return Marks(
        order,
        _specific(words),
        tuple(sorted(word for word in order if word.isdigit() and word != "1")),  # 一只 is "a"
        len(_NEGATION.findall(plain)),
        frozenset(_PRONOUNS[word] for word in _PRONOUN.findall(plain)),
        frozenset(_TELLING.findall(plain)),
        frozenset(names),
        lexicon.contrasts(words, plain),
        lexicon.topics(words, plain),
        plain[:_BEGIN],
    )


def _specific(words: frozenset[str]) -> frozenset[str]:
    """Of scripts without spaces only pairs: single characters are in everything."""
    return frozenset(word for word in words - lexicon.GENERIC if not word.isdigit() and _tells(word))


def _tells(word: str) -> bool:
    if not _WIDE.search(word):
        return True
    return len(word) > 1 and _FILLING.isdisjoint(word)

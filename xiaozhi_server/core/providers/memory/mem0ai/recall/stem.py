"""Brings the forms of an English word together (cats/cat, liked/liking/like, colour/color). Rough on purpose.

Both the question and the memory pass through it, so a stem need not be a word: it must only be the same twice.
"""

import re
from functools import lru_cache

_SHORTEST = 3  # a shorter remainder says too little to be the same word
_VOWEL = re.compile(r"[aeiouy]")

_IRREGULAR = {
    "ate": "eat", "bought": "buy", "broke": "break", "brought": "bring", "came": "come", "children": "child",
    "drank": "drink", "drove": "drive", "eaten": "eat", "feet": "foot", "fell": "fall", "felt": "feel", "flew": "fly",
    "forgot": "forget", "forgotten": "forget", "found": "find", "gave": "give", "given": "give", "gone": "go",
    "got": "get", "gotten": "get", "grew": "grow", "grown": "grow", "heard": "hear", "held": "hold", "kept": "keep",
    "knew": "know", "known": "know", "learnt": "learn", "left": "leave", "lost": "lose", "made": "make", "men": "man",
    "met": "meet", "mice": "mouse", "paid": "pay", "people": "person", "ran": "run", "rode": "ride", "said": "say",
    "sang": "sing", "sat": "sit", "saw": "see", "seen": "see", "sent": "send", "slept": "sleep", "sold": "sell",
    "spent": "spend", "spoke": "speak", "spoken": "speak", "swam": "swim", "taken": "take", "taught": "teach",
    "teeth": "tooth", "thought": "think", "threw": "throw", "told": "tell", "took": "take", "understood": "understand",
    "went": "go", "wives": "wife", "woke": "wake", "women": "woman", "won": "win", "wore": "wear", "written": "write",
    "wrote": "write",
}  # fmt: skip

# The first ending that fits is replaced, once. Longer endings stand before the shorter ones that they contain.
_ENDINGS = (
    ("ational", "ate"), ("ization", "ize"), ("isation", "ize"), ("fulness", "ful"), ("ousness", "ous"),
    ("iveness", "ive"), ("ations", "ate"), ("ation", "ate"), ("ments", ""), ("ment", ""), ("nesses", ""),
    ("ness", ""), ("ingly", ""), ("edly", ""), ("ists", ""), ("ist", ""), ("ings", ""), ("ing", ""), ("ied", "y"),
    ("ies", "y"), ("ers", ""), ("ors", ""), ("ily", "y"), ("ly", ""), ("ed", ""), ("er", ""), ("or", ""),
)  # fmt: skip


@lru_cache(maxsize=20_000)  # people use the same words again and again
def stem(word: str) -> str:
    """The stem of one lower-case Latin word."""
    if word in _IRREGULAR:
        return _tidy(_IRREGULAR[word])
    return _tidy(_without_ending(_american(_singular(word))))


def _singular(word: str) -> str:
    if len(word) <= _SHORTEST or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word.removesuffix("s")


def _american(word: str) -> str:
    if len(word) > 4 and "our" in word[2:]:
        return word[:2] + word[2:].replace("our", "or", 1)
    if len(word) > 5 and word.endswith(("tre", "bre")):
        return word[:-2] + "er"
    return word


def _without_ending(word: str) -> str:
    for ending, replacement in _ENDINGS:
        if not word.endswith(ending):
            continue
        rest = word[: -len(ending)]
        if len(rest) >= _SHORTEST and _VOWEL.search(rest):
            return rest + replacement
    return word


def _tidy(word: str) -> str:
    """The last differences: a doubled consonant (running), a silent e (like), y and i (party, parties)."""
    if len(word) > _SHORTEST and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    if len(word) > _SHORTEST and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > _SHORTEST and word.endswith("y") else word

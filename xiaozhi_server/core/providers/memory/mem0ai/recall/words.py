"""Cuts a text into the tokens by which it is found: stems of Latin words, numbers, and pairs of characters where a
script has no spaces. PostgreSQL's own parser cannot cut Chinese, so it is given our tokens as numbers.
"""

import re
import zlib
from collections.abc import Iterator

from .folding import folded, number_of
from .stem import stem

# Scripts that are written without spaces between words (Thai to Khmer, kana, Han) or that join particles (Hangul).
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
RUN = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}_]+(?:['’][^\W{_UNSPACED}_]+)*")
UNSPACED_CHAR = re.compile(f"[{_UNSPACED}]")
_NUMBER_AND_UNIT = re.compile(r"\d+|[^\W\d]+")

# Words that hold sentences together. They are in every memory and say nothing about any.
_FUNCTION_WORDS = """
a about am an and any are as at be because been being but by can could did do does doing done for from had has
have having he her hers him his how i if in into is it its just me mine my of on or our ours shall she should so
than that the their theirs them then there these they this those to us was we were what when where which while
who whom whose why will with would you your yours yes no not ok okay oh ain aren couldn didn doesn don hadn hasn
haven isn ll re s t ve d m shouldn wasn weren won wouldn tell told know remember everything anything please let s also
too very really
"""
EMPTY_WORDS = frozenset(_FUNCTION_WORDS.split())
# What does the same in Chinese: asking words and particles part a run as a space would. 颜色是什么 is about 颜色.
_EMPTY_UNSPACED = re.compile(
    "为什么|什么时候|什么事|什么|怎么样|怎么|哪里|哪儿|哪个|哪家|哪天|哪些|哪|多少|几点|谁"
    "|你好|了解|关于|告诉|事情|请问|记得|知道|[的了是吗呢吧啊呀嘛么我你您他她它们这那个就也都和与跟在有]"
)
_LETTER_WEIGHT = 0.3  # a single character says less than a pair

MAX_CHARS = 8000  # what lies further behind is not looked for


def words_of(text: str) -> list[str]:
    """The tokens of a text in their order, with repetitions."""
    return list(_words(folded(text[:MAX_CHARS])))


def token_of(word: str) -> int:
    """A word as the signed 32-bit number that the database keeps; the same on every machine."""
    number = zlib.crc32(word.encode("utf-8"))
    return number - (1 << 32) if number >= 1 << 31 else number


def tokens_of(text: str) -> list[int]:
    return [token_of(word) for word in words_of(text)]


def query_tokens(text: str) -> dict[int, float]:
    """The tokens of a question, each once, with how much it weighs."""
    return {token_of(word): word_weight(word) for word in words_of(text)}


def word_weight(word: str) -> float:
    return _LETTER_WEIGHT if len(word) == 1 and UNSPACED_CHAR.match(word) else 1.0


def unspaced_share(text: str) -> float:
    """How much of a text is in scripts without spaces, from 0 to 1."""
    letters = sum(map(str.isalnum, text[:MAX_CHARS]))
    return min(1.0, len(UNSPACED_CHAR.findall(text[:MAX_CHARS])) / letters) if letters else 0.0


def _words(text: str) -> Iterator[str]:
    for run in RUN.findall(text):
        if UNSPACED_CHAR.match(run):
            yield from _pairs(run)
        else:
            yield from _spaced(run)


def _spaced(run: str) -> Iterator[str]:
    for part in re.split("['’]", run):
        if part in EMPTY_WORDS:
            continue
        if part.isascii() and not part.isalpha():
            yield from (piece if piece.isdigit() else stem(piece) for piece in _NUMBER_AND_UNIT.findall(part))
        elif part:
            yield (number_of(part) or stem(part)) if part.isascii() else part


def _pairs(run: str) -> Iterator[str]:
    """Every character for itself and every pair of neighbours, but none across what is empty."""
    for piece in _EMPTY_UNSPACED.split(run):
        yield from piece
        yield from (piece[at : at + 2] for at in range(len(piece) - 1))

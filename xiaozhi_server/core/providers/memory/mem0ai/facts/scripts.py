"""In which script something is written, as far as it tells languages apart."""

from collections import Counter
from collections.abc import Iterable

# Han stands alone: Chinese, and the larger part of Japanese.
_RANGES = (
    ("latin", 0x41, 0x24F),
    ("greek", 0x370, 0x3FF),
    ("cyrillic", 0x400, 0x52F),
    ("hebrew", 0x590, 0x5FF),
    ("arabic", 0x600, 0x77F),
    ("devanagari", 0x900, 0x97F),
    ("thai", 0xE00, 0xE7F),
    ("georgian", 0x10A0, 0x10FF),
    ("hangul", 0x1100, 0x11FF),
    ("latin", 0x1E00, 0x1EFF),
    ("kana", 0x3040, 0x30FF),
    ("han", 0x3400, 0x9FFF),
    ("hangul", 0xAC00, 0xD7AF),
    ("han", 0x20000, 0x3FFFF),
)
_WORD_LETTERS = {"han": 3.0, "kana": 2.0, "hangul": 2.0}  # how much more one of them says than a Latin letter
_ENOUGH = 0.2


def scripts_of(texts: Iterable[str]) -> frozenset[str]:
    """Those that a good part of the texts is written in."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_letters(text))
    whole = counts.total()
    return frozenset(script for script, count in counts.items() if count >= _ENOUGH * whole)


def main_script(text: str) -> str:
    """Empty where there are no letters. Whatever has kana is Japanese, and nothing else has."""
    counts = _letters(text)
    if counts["kana"]:
        return "kana"
    return max(counts, key=lambda script: counts[script], default="")


def _letters(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            script = _script(ord(character))
            counts[script] += _WORD_LETTERS.get(script, 1.0)  # type: ignore[assignment]
    return counts


def _script(code: int) -> str:
    return next((name for name, first, last in _RANGES if first <= code <= last), "other")

"""What the model is asked: its task, and the texts as quoted data."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from ..recall.words import words_of
from .material import Group, Source

_FEWEST_WORDS = 20
_MOST_WORDS = 120
_SHARE = 0.4  # of the words of the texts


@cache
def instruction() -> str:
    return (Path(__file__).parent / "instruction.txt").read_text(encoding="utf-8").strip()


def request(group: Group) -> list[dict[str, str]]:
    """As messages for the model."""
    words = sum(len(words_of(source.text)) for source in group)
    asked = {
        "most_words": min(_MOST_WORDS, max(_FEWEST_WORDS, int(_SHARE * words))),
        "texts": [_text(number, source) for number, source in enumerate(group, start=1)],
    }
    told = json.dumps(asked, ensure_ascii=False, separators=(",", ":"))
    return [{"role": "system", "content": instruction()}, {"role": "user", "content": told}]


def _text(number: int, source: Source) -> dict[str, Any]:
    who = source.speaker or source.role
    return {"n": number, "day": source.day.isoformat(), "who": who, "text": " ".join(source.text.split())}

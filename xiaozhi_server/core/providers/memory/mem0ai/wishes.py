"""What an agent wants of whoever makes memories of a talk. It waits in the outbox beside the messages, as one text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..base import LONGEST_CATEGORY, MOST_CATEGORIES
from .errors import InvalidTextError
from .message import storable

_MARK = '{"wishes":'  # what a text without categories or time zone does not begin with


@dataclass(frozen=True, slots=True)
class Wishes:
    """`instruction` is in words, `categories` are what memories may be filed under, `timezone` is where people live."""

    instruction: str = ""
    categories: tuple[str, ...] = ()
    timezone: str = ""

    @classmethod
    def of(cls, given: "Wishes | str | None") -> "Wishes":
        return given if isinstance(given, Wishes) else cls(given or "")

    def as_text(self) -> str:
        if not self.categories and not self.timezone and not self.instruction.startswith(_MARK):
            return self.instruction
        return json.dumps({"wishes": [self.instruction, self.categories, self.timezone]}, ensure_ascii=False).replace(
            '{"wishes": ', _MARK, 1
        )

    @classmethod
    def from_text(cls, text: str) -> "Wishes":
        if not text.startswith(_MARK):
            return cls(text)
        instruction, categories, timezone = json.loads(text)["wishes"]
        return cls(instruction, tuple(categories), timezone)


def checked_categories(categories: object) -> tuple[str, ...]:
    """Each once, in their order."""
    if isinstance(categories, str) or not isinstance(categories, Sequence):
        raise InvalidTextError(f"categories are a list of texts, not a {type(categories).__name__}")
    if len(categories) > MOST_CATEGORIES:
        raise InvalidTextError(f"there are {len(categories)} categories and may be {MOST_CATEGORIES}")
    return tuple(dict.fromkeys(_checked_category(category) for category in categories))


def _checked_category(category: object) -> str:
    if not isinstance(category, str):
        raise InvalidTextError(f"a category is text, not a {type(category).__name__}")
    kept = storable(category)
    if not kept or len(kept) > LONGEST_CATEGORY:
        raise InvalidTextError(f"a category has 1 to {LONGEST_CATEGORY} characters")
    return kept

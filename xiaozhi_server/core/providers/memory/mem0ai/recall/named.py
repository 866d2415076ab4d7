"""Who a question is about, when it names somebody who speaks in these memories.

People speak of themselves as "I". So a question about one of them is compared in meaning as that person would put it:
"What did Ann paint?" as "What did I paint?", and what others said counts less, unless they speak about that person.
"""

import re
from collections.abc import Iterable

from .folding import folded
from .words import query_tokens, token_of, unspaced_share

NOBODY = 0


def speaker_number(name: str | None) -> int:
    """A speaker as a number that fits an array; 0 where nobody knows who spoke."""
    return token_of(folded(name).strip()) or 1 if name and name.strip() else NOBODY


def named_in(text: str, speakers: Iterable[str]) -> list[str]:
    """The speakers that a text names, by their whole name or the first part of it."""
    return [name for name in speakers if name.strip() and _pattern(name, text).search(text)]


def name_tokens(names: Iterable[str]) -> frozenset[int]:
    """The tokens by which a text speaks of somebody with such a name."""
    return frozenset(token for name in names for token, weight in query_tokens(name).items() if weight == 1.0)


def in_first_person(text: str, names: Iterable[str]) -> str:
    """The text with "I" and "my" for these names."""
    subject, possessor = ("我", "我的") if unspaced_share(text) > 0.5 else ("I", "my")
    for name in names:
        text = _pattern(name, text).sub(lambda found: possessor if found["possessive"] else subject, text)
    return text


def _pattern(name: str, text: str) -> re.Pattern[str]:
    whole = name.strip()
    ways = "|".join(re.escape(way) for way in dict.fromkeys((whole, whole.split()[0])))
    spaced = unspaced_share(whole) == 0.0
    edges = (r"(?<![^\W\u3400-\u9fff])", r"(?![^\W\u3400-\u9fff])") if spaced else ("", "")
    # "Will" is a person and "will" is not, unless whoever wrote it down has no capitals at all.
    flags = re.IGNORECASE if text == text.lower() else 0
    return re.compile(rf"{edges[0]}(?:{ways})(?P<possessive>['’]s\b)?{edges[1]}", flags)

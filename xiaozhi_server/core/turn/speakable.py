"""Turns a written sentence into one that can be spoken and shown: no markdown, no links, no emoji. Knows only text."""

import re
from typing import Final

from .emotion import EMOJI

_ADDRESS = r"(?:https?://|www\.)[^\s<>\u3000-\u303f\uff00-\uffef]+"

# In this order: links before the addresses in them, emphasis before single marks.
_RULES: Final = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"!\[[^\[\]]*\]\([^()]*\)", " "),  # pictures
        (r"\[([^\[\]]*)\]\([^()]*\)", r"\1"),  # links keep their words
        (r"<?" + _ADDRESS + r">?", " "),
        (r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>", " "),  # HTML
        (r"^\s*[-*_=|:\s]{3,}$", " "),  # rules, table separators
        (r"^\s*(?:#{1,6}|>+|[-*+•])\s+", ""),  # headings, quotes, bullets
        (r"[*_~`]{2,}", ""),
        (r"`", ""),
        (r"(?<![\w*])[*_~](?=\w)|(?<=[^\s*_~])[*_~](?!\w)", ""),  # emphasis; 3 * 4 and snake_case stay
        (r"\s*\|\s*", ", "),  # table cells
        (r"(?<=[\u2e80-\U0003ffff])\s*\n+\s*(?=\S)", "，"),  # lines of a list
        (r"(?<=\w)\s*\n+\s*(?=\S)", ", "),
        (r"(?:,\s*){2,}", ", "),
        (r"\\([\\`*_{}\[\]()#+.!-])", r"\1"),  # escapes
    )
)
_MARKUP: Final = re.compile(r"[*_~`#>|\[<\\•]|^\s*[-+=]|://|www\.|\n", re.MULTILINE)
# Neither a voice nor a database can do anything with these: control characters, halves of surrogate pairs.
_UNUSABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES: Final = re.compile(r"\s+")
_SPACE_BEFORE_STOP: Final = re.compile(r"\s+([,.!?;:，。！？；：](?:\s|$))")
_LOOSE_EDGE = " \t\n,，、;；:："
_CLOSERS = "”’」』）】》)]}"


def speakable(text: str) -> str:
    """What is left for the ear; empty if there is nothing to say."""
    text = _UNUSABLE.sub(" ", text).strip()
    if _MARKUP.search(text):
        for pattern, replacement in _RULES:
            text = pattern.sub(replacement, text)
    if not text.isascii():
        text = EMOJI.sub(" ", text)
    text = _SPACE_BEFORE_STOP.sub(r"\1", _SPACES.sub(" ", text))
    text = text.lstrip(_LOOSE_EDGE + _CLOSERS).rstrip()
    return text if any(map(str.isalnum, text)) else ""

"""Memories as lines of text, the newest first: the form in which they reach a language model."""

from collections.abc import Iterable
from datetime import tzinfo
from html import escape

from ..base import Memory


def as_lines(memories: Iterable[Memory], timezone: tzinfo) -> str:
    """`[YYYY-MM-DD HH:MM:SS] text`, each a line whatever it holds: it can neither begin another nor end a block.

    Behind the text stands until when it is or was true, where that is known.
    """
    newest_first = sorted(memories, key=lambda memory: memory.timestamp, reverse=True)
    return "\n".join(_line(memory, timezone) for memory in newest_first)


def _line(memory: Memory, timezone: tzinfo) -> str:
    said = memory.text if memory.speaker is None else f"{memory.speaker}: {memory.text}"
    text = escape(" ".join(said.split()), quote=False)
    return f"[{memory.timestamp.astimezone(timezone):%Y-%m-%d %H:%M:%S}] {text}{memory.validity(timezone)}"

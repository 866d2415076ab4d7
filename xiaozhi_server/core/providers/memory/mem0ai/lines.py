"""Memories as lines of text, the newest first: the form in which they reach a language model."""

from collections.abc import Iterable
from datetime import tzinfo

from ..base import Memory


def as_lines(memories: Iterable[Memory], timezone: tzinfo) -> str:
    """`[YYYY-MM-DD HH:MM:SS] text`, one line each: a line break inside a memory cannot begin another line."""
    newest_first = sorted(memories, key=lambda memory: memory.timestamp, reverse=True)
    return "\n".join(
        f"[{memory.timestamp.astimezone(timezone):%Y-%m-%d %H:%M:%S}] {' '.join(memory.text.split())}"
        for memory in newest_first
    )

"""What the lines of a file mean, whoever wrote it. Plain data, on its way from a reader to the tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ..embedding.embed import Vectors
from ..records import StoredMemory

# In the order in which they are written: what refers to something comes behind it, and the history before the memories,
# so that a text which is replaced is known to be told already.
Kind = Literal["history", "thing", "memory", "link", "relation", "summary", "unsaved", "note"]
KINDS: tuple[Kind, ...] = ("history", "thing", "memory", "link", "relation", "summary", "unsaved")


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """A memory, with its vector where the file has one of our embedder.

    `is_dated`: the file says when it was written, so it may replace an older one.
    """

    number: int
    memory: StoredMemory
    vector: Vectors | None = None
    is_dated: bool = True


@dataclass(frozen=True, slots=True)
class RowItem:
    """A row of another table, ready for it by its names."""

    number: int
    kind: Kind
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that notes say, and on which day. It becomes a memory, or a line of the notes."""

    number: int
    user_id: str
    agent_id: str
    text: str
    said_at: datetime
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is worth knowing of a line. What is refused is not taken."""

    number: int
    reason: str
    is_refused: bool = True


Item = MemoryItem | RowItem | Fact | Notice

"""What is summarised: memories of one owner, agent and run, said in one week."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from ..embedding.embed import Vectors


@dataclass(frozen=True, slots=True)
class Source:
    """One old memory; without a vector it is near to nothing but what was said in the same session."""

    id: UUID
    session_id: str
    role: str
    speaker: str | None
    text: str
    created_at: datetime
    vector: Vectors | None

    @property
    def day(self) -> date:
        return self.created_at.astimezone(UTC).date()


# What one summary is made of, the oldest first.
Group = Sequence[Source]

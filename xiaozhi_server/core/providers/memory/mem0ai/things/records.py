"""People, things and relations as those see them who look them up. Plain data."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ..recall.things import SELF


@dataclass(frozen=True, slots=True)
class Thing:
    """A person or a thing of one owner, as one agent heard of it. `memories` is how many are about it."""

    id: UUID
    user_id: str
    agent_id: str
    name: str
    kind: str
    key: str
    also: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    memories: int

    @property
    def is_owner(self) -> bool:
        return self.key == SELF


@dataclass(frozen=True, slots=True)
class Relation:
    """The subject is the object's `relation`: "Anna – sister – I". `memory_id` is where it was said.

    `valid_to` is until when it held, where it does not any more.
    """

    id: UUID
    user_id: str
    agent_id: str
    subject_id: UUID
    subject: str
    relation: str
    object_id: UUID
    object: str
    memory_id: UUID | None
    created_at: datetime
    valid_to: datetime | None

"""People and things that memories are about: how they are named and told apart."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from ..recall.folding import folded
from ..recall.things import SELF

__all__ = ["SELF", "KnownThing", "key_of", "relation_id", "thing_id", "with_key"]

_NAMESPACE = uuid.UUID("5a0c2f5e-6a63-4d1f-9d36-1b7a0f6f9c11")
_SPEAKER = frozenset(
    {"i", "me", "myself", "self", "user", "the user", "speaker", "the speaker", "我", "自己", "本人", "用户"}
)


@dataclass(frozen=True, slots=True)
class KnownThing:
    id: uuid.UUID
    name: str
    kind: str
    key: str
    also: tuple[str, ...] = ()
    also_keys: tuple[str, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        return frozenset((self.key, *self.also_keys))


def key_of(name: str) -> str:
    """The name as it is compared. Whoever speaks of themselves is the owner."""
    key = " ".join(folded(name).split())
    return SELF if key in _SPEAKER else key


def thing_id(user_id: str, agent_id: str, key: str) -> uuid.UUID:
    """The same thing has the same id for ever."""
    return uuid.uuid5(_NAMESPACE, json.dumps([user_id, agent_id, key]))


def relation_id(subject: uuid.UUID, relation: str, other: uuid.UUID) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, json.dumps([str(subject), relation, str(other)]))


def with_key(things: Iterable[KnownThing], key: str) -> KnownThing | None:
    return next((thing for thing in things if key in thing.keys), None)

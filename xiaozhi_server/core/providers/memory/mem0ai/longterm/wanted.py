"""What is asked of a model for each kind of memory, beside what it is told for every talk."""

from collections.abc import Mapping
from datetime import tzinfo

from ..wishes import Wishes
from .classify import Subtype

_EVERY = (
    "Each at most 160 characters, in the language in which it was said. "
    "No passwords, keys, card numbers or other secrets."
)
_OF: Mapping[Subtype, str] = {
    "semantic": "Lasting facts about the person and what the person likes, owns, does, wants or whom the person knows.",
    "episodic": "What happened or will happen to the person once, each with its day.",
    "procedural": "How the person does something or wants it done: the steps that the person described or agreed to, "
    "in their order, as one memory for each procedure. No advice that the assistant only gave.",
}


def wishes_for(subtype: Subtype, zone: tzinfo | None) -> Wishes:
    """Days are told in `zone`, where it has a name."""
    return Wishes(f"{_OF[subtype]} {_EVERY}", timezone=str(getattr(zone, "key", "")))

"""Pictures in messages: which ones are taken, and what a message is without somebody who can see them.

They come as mem0 takes them: `{"type": "image_url", "image_url": {"url": …}}`, alone or among the parts of a message,
with an address that begins with http(s) or a `data:` address that holds the picture. Nothing is ever fetched here: the
address is handed to the model that describes the picture.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..base import SpokenMessage
from .errors import ImageRefusedError

logger = logging.getLogger(__name__)

T = TypeVar("T")

IMAGE = "[image]"  # stands in a text where the picture was

MOST_IMAGES = 8
LONGEST_DATA = 1_000_000  # of all pictures in one call: they wait in the outbox until they are described
_LONGEST_ADDRESS = 4096
_LONGEST_DESCRIPTION = 2000
_WEB = ("http://", "https://")


def image_of(part: Mapping[str, Any]) -> str:
    """The address of the picture that a part of a message is; empty where it is none."""
    if part.get("type") != "image_url":
        return ""
    given = part.get("image_url")
    address = given.get("url") if isinstance(given, Mapping) else given
    return address if isinstance(address, str) else ""


def images_of(content: object) -> tuple[str, ...]:
    """The addresses of all pictures in a message, in order."""
    if isinstance(content, Mapping):
        return (address,) if (address := image_of(content)) else ()
    if isinstance(content, list | tuple):
        return tuple(address for part in content if isinstance(part, Mapping) for address in images_of(part))
    return ()


def with_seen_images(messages: Sequence[SpokenMessage], *, sees: bool) -> list[SpokenMessage]:
    """The messages as they can be kept: with their pictures, or where nobody `sees` them with a mark in their place.

    ImageRefusedError where a picture cannot be taken, or nothing but pictures that nobody can describe was said.
    """
    images = [image for message in messages for image in message.images]
    for message in messages:
        if len(message.images) > MOST_IMAGES:
            raise ImageRefusedError(f"a message may have {MOST_IMAGES} pictures, not {len(message.images)}")
    for image in images:
        _check(image)
    size = sum(map(len, images))
    if size > LONGEST_DATA:
        raise ImageRefusedError(
            f"the pictures take {size} characters as data and may take {LONGEST_DATA}: make them smaller, or put them"
            " where the model can fetch them and give their http address"
        )
    if sees:
        return list(messages)
    if any(map(_is_nothing_else, messages)):
        raise ImageRefusedError(
            "a picture is remembered by its description, and no model is there to give one: set Memory.mem0ai.llm with"
            " enable_vision, or say in words what it shows"
        )
    return [replace(message, images=()) for message in messages]


def described(message: SpokenMessage, descriptions: Sequence[str]) -> SpokenMessage:
    """With the descriptions in the places of the pictures; behind the text where those are not known any more."""
    told = [f"{IMAGE} {' '.join(text.split())[:_LONGEST_DESCRIPTION]}" for text in descriptions]
    pieces = message.content.split(IMAGE)
    if len(pieces) == len(told) + 1:
        between = [text for pair in zip(pieces, [*told, ""], strict=True) for text in pair]
        return replace(message, content="".join(between), images=())
    return replace(message, content="\n".join([message.content, *told]), images=())


async def without_refused_images(
    accept: Callable[[Sequence[SpokenMessage]], Awaitable[T]], messages: Sequence[SpokenMessage]
) -> T:
    """A talk goes on whatever somebody shows: what was said is accepted without the pictures that cannot be."""
    try:
        return await accept(messages)
    except ImageRefusedError as problem:
        logger.warning("memory: kept without its pictures: %s", problem)
    return await accept([replace(one, images=()) for one in messages if not _is_nothing_else(one)])


def _is_nothing_else(message: SpokenMessage) -> bool:
    return bool(message.images) and not message.content.replace(IMAGE, "").strip()


def _check(address: str) -> None:
    lower = address[:64].lower()
    if lower.startswith("data:"):
        if not lower.startswith("data:image/"):
            raise ImageRefusedError("a data: address of a picture begins with data:image/")
        return
    if not lower.startswith(_WEB):
        raise ImageRefusedError("a picture has an address that begins with http://, https:// or data:image/")
    if len(address) > _LONGEST_ADDRESS or not address.isprintable():
        raise ImageRefusedError(f"the address of a picture is printable and at most {_LONGEST_ADDRESS} characters long")

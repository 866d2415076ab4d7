"""What the stand-in model sees: a picture's name, or the words in its data, are what it shows.

It tells it in the language of the words that the request quotes. A picture called "blank" is one of nothing: it has no
word for that.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

_CJK = re.compile(r"[\u3400-\u9fff]")
_WORDS = re.compile(r"[^\W\d_]+")


def description(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """What the pictures of the last message show; None where there are none."""
    parts = messages[-1].get("content") if messages else None
    if not isinstance(parts, list):
        return None
    images = [str(part["image_url"]["url"]) for part in parts if part.get("type") == "image_url"]
    if not images:
        return None
    asked = " ".join(str(part.get("text", "")) for part in parts)
    return "\n".join(filter(None, (_shown(image, chinese=bool(_CJK.search(asked))) for image in images)))


def _shown(image: str, *, chinese: bool) -> str:
    what = " ".join(_WORDS.findall(_in_data(image) if image.startswith("data:") else _name(image)))
    if not what or what == "blank":
        return ""
    return f"图片里是{what}。" if chinese else f"The picture shows {what}."


def _name(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).stem


def _in_data(address: str) -> str:
    try:
        return base64.b64decode(address.partition(",")[2]).decode(errors="ignore")
    except binascii.Error:
        return ""

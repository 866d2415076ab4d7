"""The stand-in model condenses old memories: the words of each text that say something. It reads the request only."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_TASK = "You condense old memories"
_WORD = re.compile(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_EMPTY = frozenset(
    re.findall(r"\w+", "a an and are at be for had has have i in is it my of on so that the then to very was we were")
)
_OF_CHINESE = 0.6  # characters of a text


def condensed(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """One memory for all of the texts; None where something else was asked."""
    if len(messages) != 2 or not str(messages[0].get("content")).startswith(_TASK):
        return None
    asked = json.loads(str(messages[1].get("content")))
    texts = [str(one["text"]) for one in asked["texts"]]
    share = max(1, int(asked["most_words"]) // max(1, len(texts)))
    told = [part for part in (_shortened(text, share) for text in dict.fromkeys(texts)) if part]
    memories = [{"text": _joined(told)}] if told else []
    return json.dumps({"memory": memories}, ensure_ascii=False)


def _shortened(text: str, words: int) -> str:
    if _CHINESE.search(text):
        plain = text.rstrip("。！？.!? ")
        return plain[: max(4, int(_OF_CHINESE * len(plain)))]
    said = [word for word in _WORD.findall(text.rstrip(".!? ")) if word.casefold() not in _EMPTY]
    return " ".join(said[:words])


def _joined(told: Sequence[str]) -> str:
    return "；".join(told) + "。" if any(map(_CHINESE.search, told)) else "; ".join(told) + "."

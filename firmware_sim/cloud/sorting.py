"""The stand-in model asked what kinds of memory conversations hold: it goes by a few words of what the person said."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

TASK = "You sort conversations"
_SIGNS = (
    ("PROCEDURAL", re.compile(r"\bfirst\b.*\bthen\b|先.*然后|再", re.IGNORECASE | re.DOTALL)),
    ("EPISODIC", re.compile(r"\b(went|yesterday|tomorrow|last week|booked)\b|昨天|明天", re.IGNORECASE)),
    ("SEMANTIC", re.compile(r"\b(i|i'm|my)\b|我", re.IGNORECASE)),
)
_QUESTION = re.compile(r"[?？]\s*$")


def sorted_conversations(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """None where something else is asked."""
    if len(messages) != 2 or not str(messages[0].get("content") or "").startswith(TASK):
        return None
    try:
        asked = json.loads(str(messages[1].get("content") or ""))["conversations"]
        told = [{"n": one["n"], **_kind(one["messages"])} for one in asked]
    except (ValueError, KeyError, TypeError):
        return json.dumps({"conversations": []})
    return json.dumps({"conversations": told})


def _kind(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    said = [str(one["text"]) for one in messages if one.get("who") == "user"]
    told = "\n".join(text for text in said if not _QUESTION.search(text))
    name = next((name for name, sign in _SIGNS if sign.search(told)), "NONE")
    return {"memory_type": name, "should_extract": name != "NONE", "reason": "by its words"}

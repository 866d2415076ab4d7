"""The stand-in model at work for a memory: takes facts out of a talk, and says how well a text fits a question.

It reads the request and nothing else, as mem0's library words it. A fact is a sentence of the user's, word for word.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Wording = Literal["as_asked", "fenced", "babble", "mute", "nothing"]

_EXTRACTOR = "You are a Memory Extractor"
_RATER = "relevance scoring assistant"
_SECTION = re.compile(r"^## (?P<name>[^\n]+)\n(?P<text>.*?)(?=^## |^# Output:|\Z)", re.MULTILINE | re.DOTALL)
_TURN = re.compile(r"^(?P<role>user|assistant|system): (?P<text>.*?)(?=^(?:user|assistant|system): |\Z)", re.M | re.S)
_SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？]+|[^.!?。！？\n]+")
_RATED = re.compile(r"Query: (?P<query>.*?)\n\nDocument: (?P<text>.*)", re.DOTALL)
_NOT_A_FACT = re.compile(
    r"[?？]\s*$|^\W*$|^\W*(hello|hi|hey|thanks|thank you|ok|okay|yes|no|good morning|你好|您好|谢谢|好的)\W*$",
    re.IGNORECASE,
)
_TERM = re.compile(r"[\u3400-\u9fff]|\w+")


def answer_for_memory(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """What the model says to a request of a memory; None where the request is another one."""
    if len(messages) != 2:
        return None
    system, asked = (str(message.get("content") or "") for message in messages)
    if _EXTRACTOR in system:
        return json.dumps({"memory": _facts(asked)}, ensure_ascii=False)
    if _RATER in system and (rated := _RATED.match(asked)):
        return f"{_fit(rated['query'], rated['text']):.2f}"
    return None


def worded(text: str, wording: Wording) -> str:
    """The same answer as a careless model gives it, or what it says instead."""
    return {
        "as_asked": text,
        "fenced": f"Here is what I {{really}} found:\n```json\n{text}\n```\nShall I go on?",
        "babble": 'Sure! The memories are {"memory": [and so on',
        "mute": "",
        "nothing": '{"memory": []}',
    }[wording]


def _facts(asked: str) -> list[dict[str, str]]:
    sections = {match["name"].strip(): match["text"] for match in _SECTION.finditer(asked)}
    known = {str(memory.get("text")) for memory in json.loads(sections.get("Existing Memories") or "[]")}
    said = [turn["text"] for turn in _TURN.finditer(sections.get("New Messages", "")) if turn["role"] == "user"]
    sentences = [sentence.strip() for text in said for sentence in _SENTENCE.findall(text)]
    facts = [text for text in dict.fromkeys(sentences) if text not in known and not _NOT_A_FACT.search(text)]
    return [{"id": str(number), "text": text, "attributed_to": "user"} for number, text in enumerate(facts)]


def _fit(query: str, text: str) -> float:
    wanted = set(_TERM.findall(query.casefold()))
    return len(wanted & set(_TERM.findall(text.casefold()))) / len(wanted) if wanted else 0.0

"""The stand-in model asked as mem0's library itself asks: for facts out of a talk, and how well a text fits a question.

A fact is a sentence of the user's, word for word.
"""

import json
import re

EXTRACTOR = "You are a Memory Extractor"
RATER = "relevance scoring assistant"

_SECTION = re.compile(r"^## (?P<name>[^\n]+)\n(?P<text>.*?)(?=^## |^# Output:|\Z)", re.MULTILINE | re.DOTALL)
_TURN = re.compile(r"^(?P<role>user|assistant|system): (?P<text>.*?)(?=^(?:user|assistant|system): |\Z)", re.M | re.S)
_SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？]+|[^.!?。！？\n]+")
_RATED = re.compile(r"Query: (?P<query>.*?)\n\nDocument: (?P<text>.*)", re.DOTALL)
_NOT_A_FACT = re.compile(
    r"[?？]\s*$|^\W*$|^\W*(hello|hi|hey|thanks|thank you|ok|okay|yes|no|good morning|你好|您好|谢谢|好的)\W*$",
    re.IGNORECASE,
)
_TERM = re.compile(r"[\u3400-\u9fff]|\w+")


def facts_for_mem0(asked: str) -> str:
    return json.dumps({"memory": _facts(asked)}, ensure_ascii=False)


def rating(asked: str) -> str | None:
    """How well a document fits a query, by the words that they share."""
    rated = _RATED.match(asked)
    return f"{_fit(rated['query'], rated['text']):.2f}" if rated else None


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

"""What the stand-in model answers: closed rules over remembered lines and earlier messages, else an echo.

It knows messages and tools as plain objects, nothing of HTTP.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_sim.cloud.condensing import condensed
from firmware_sim.cloud.extraction import answer_for_memory
from firmware_sim.cloud.notes import rewritten_notes
from firmware_sim.cloud.pictures import description
from firmware_sim.cloud.sorting import sorted_conversations

_CJK = re.compile(r"[\u3400-\u9fff]")
_MEMORY = re.compile(r"<memory>(.*?)</memory>", re.DOTALL)
_STAMP = re.compile(r"^\s*(?:[-*]\s*)?(?:\[[^\]]*\]\s*)?(?:(?:user|assistant|用户|助手)\s*[:：]\s*)?", re.IGNORECASE)
_CALL = re.compile(r"^call (?P<name>[\w.\-]+)(?: with (?P<arguments>\{.*\}))?\s*$", re.IGNORECASE | re.DOTALL)
_QUESTION = re.compile(
    r"[?？]\s*$|^\s*(what|where|when|who|which|how|do you|is my|are my)\b|什么|哪里|哪儿|谁|几|吗|呢", re.IGNORECASE
)
_NOT_A_FACT = re.compile(r"do not know|don't know|不知道|^\s*(noted|you said|记住了|你说)", re.IGNORECASE)
_GREETING = re.compile(r"^\s*(hello|hi|hey|good morning|good evening|你好|您好)\b", re.IGNORECASE)
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are at be can did do does for have how i in is it me mine my of on please remember tell that the to "
        "was what when where which who you your name",
    )
)
_CHINESE_NOISE = re.compile(r"什么时候|什么|哪里|哪儿|多少|[我你您的是在谁几吗呢吧了，。？！、\s]")
_ENOUGH = 0.5
_SWAPS = {
    "my": "your",
    "mine": "yours",
    "i": "you",
    "me": "you",
    "am": "are",
    "i'm": "you're",
    "myself": "yourself",
}
_WORD = re.compile(r"[A-Za-z']+")


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Text or one tool call."""

    text: str = ""
    call: ToolCall | None = None


def answer(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Answer:
    if messages and messages[-1].get("role") == "tool":
        return Answer(f"The tool answered: {_text(messages[-1])}")
    seen = description(messages)
    if seen is not None:
        return Answer(seen)
    readers = (answer_for_memory, rewritten_notes, condensed, sorted_conversations)
    for_memory = next((text for read in readers if (text := read(messages)) is not None), None)
    if for_memory is not None:
        return Answer(for_memory)
    said = [_without_memory(_text(message)) for message in messages if message.get("role") == "user"]
    said = [text for text in said if text]
    if not said:
        return Answer("I heard nothing.")
    asked = said[-1]
    call = _tool_call(asked, tools)
    if call is not None:
        return Answer(call=call)
    return Answer(_talk(asked, [*reversed(said[:-1]), *_remembered(messages)]))


def _talk(asked: str, known: Sequence[str]) -> str:
    chinese = _CJK.search(asked) is not None
    if _QUESTION.search(asked):
        fact = _best_fact(asked, known)
        if fact is None:
            return "我还不知道。" if chinese else "I do not know that yet."
        return turn_round(fact)
    if _GREETING.search(asked):
        return "你好！😊 很高兴见到你。" if chinese else "Hello! 😊 Nice to meet you."
    turned = turn_round(asked)
    if turned != asked:
        return f"记住了，{turned}" if chinese else f"Noted: {turned}"
    return f"你说：{asked}" if chinese else f"You said: {asked}"


def _remembered(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of all memory blocks, without time and role."""
    blocks = [block for message in messages for block in _MEMORY.findall(_text(message))]
    lines = [_STAMP.sub("", line).strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def _best_fact(question: str, known: Sequence[str]) -> str | None:
    """The line that shares most with the question; the first of equals, which is the newest."""
    wanted = _terms(question)
    best, best_share = None, 0.0
    for line in known:
        if not wanted or _QUESTION.search(line) or _NOT_A_FACT.search(line):
            continue
        share = len(wanted & _terms(line)) / len(wanted)
        if share > best_share:
            best, best_share = line, share
    return best if best_share >= _ENOUGH else None


def _terms(text: str) -> set[str]:
    """Latin words by their beginnings, Chinese by characters and pairs of them."""
    words = {
        word.casefold().removesuffix("s")[:5] for word in _WORD.findall(text) if word.casefold() not in _STOP_WORDS
    }
    chinese = "".join(_CJK.findall(_CHINESE_NOISE.sub("", text)))
    pairs = {chinese[index : index + 2] for index in range(len(chinese) - 1)}
    return words | pairs | set(chinese)


def turn_round(text: str) -> str:
    """What I said about me, said about you."""
    turned = _WORD.sub(lambda match: _SWAPS.get(match.group().casefold(), match.group()), text)
    return (turned[:1].upper() + turned[1:]).replace("我", "你")


def _tool_call(asked: str, tools: Sequence[Mapping[str, Any]]) -> ToolCall | None:
    """`call NAME with {…}` asks for a tool; a part of its name is enough."""
    match = _CALL.match(asked)
    if match is None:
        return None
    names = [str(tool.get("function", {}).get("name", "")) for tool in tools]
    name = next((name for name in names if match["name"].casefold() in name.casefold()), None)
    return ToolCall(name, match["arguments"] or "{}") if name else None


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return json.dumps(content) if content else ""


def _without_memory(text: str) -> str:
    return _MEMORY.sub("", text).strip()

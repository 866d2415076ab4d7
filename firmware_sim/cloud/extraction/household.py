"""The stand-in model asked for the memory of a household: it reads the request and answers like a decent small model.

What it knows of languages is a small grammar (english.py, chinese.py). It is no oracle: it misses what is said in
another way, and takes some things for what they are not.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from firmware_sim.cloud.extraction.chinese import chinese_claims, read_chinese
from firmware_sim.cloud.extraction.claims import ME, Claim, Reading, contradicts, of_one_name, repeats
from firmware_sim.cloud.extraction.english import english_claims, read_english

TASK = "You keep the memory of one household."

_CHINESE = re.compile(r"[\u3400-\u9fff]")
_SENTENCE = re.compile(r"(?:[^.!?。！？\n]|(?<=\b[A-Z]r)\.|(?<=\b[A-Z]rs)\.|\.(?=\d))+[.!?。！？]*")
_HE_OR_SHE = re.compile(r"^(?:he|she|him|her)\b|^[他她]", re.IGNORECASE)
_CATEGORIES = {
    "health": ("allergy", "diet"),
    "work": ("job", "employer"),
    "home": ("home",),
    "food": ("likes", "diet", "does drink", "does eat"),
    "family": ("name of",),
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Known:
    number: int
    text: str
    claims: Sequence[Claim]


@dataclass(frozen=True, slots=True)
class _Said:
    """A sentence of the user's."""

    message: int
    text: str


def household_answer(asked: str) -> str:
    """`asked` is the JSON object of the request."""
    request = json.loads(asked)
    texts = [(int(one["n"]), str(one["text"])) for one in request.get("known") or ()]
    readings = [(said, reading) for said in _sentences(request) if (reading := _read(said.text))]
    roles = _roles([reading for _, reading in readings] + [reading for _, text in texts if (reading := _read(text))])
    known = [_Known(number, text, of_one_name(_claims_of(text), roles)) for number, text in texts]
    readings = [(said, replace(one, claims=of_one_name(one.claims, roles))) for said, one in readings]
    memory = list(_memories(request, known, readings))
    things = dict(thing for _, reading in readings for thing in reading.things)
    relations = dict.fromkeys(relation for _, reading in readings for relation in reading.relations)
    answer = {
        "memory": memory,
        "things": [{"name": name, "kind": kind} for name, kind in things.items()],
        "relations": [list(relation) for relation in relations],
    }
    return json.dumps(answer, ensure_ascii=False)


def _roles(readings: Sequence[Reading]) -> dict[str, str]:
    return {name.casefold(): role for one in readings for name, role, of in one.relations if of == ME}


def _sentences(request: Mapping[str, Any]) -> Iterator[_Said]:
    """What the user said, with the last name in place of "he" and "she"."""
    person = ""
    for message in request.get("talk") or ():
        if message.get("who") != "user":
            continue
        for sentence in _SENTENCE.findall(str(message.get("text") or "")):
            text = sentence.strip()
            if person and _HE_OR_SHE.match(text):
                text = _HE_OR_SHE.sub(person, text, count=1)
            yield _Said(int(message["n"]), text)
            reading = _read(text)
            people = [name for name, kind in (reading.things if reading else ()) if kind in ("person", "人")]
            person = people[-1] if people else person


def _memories(
    request: Mapping[str, Any], known: Sequence[_Known], readings: Sequence[tuple[_Said, Reading]]
) -> Iterator[Json]:
    told: set[str] = set()
    for said, reading in readings:
        if reading.text in told:
            continue
        told.add(reading.text)
        names = [name for name, _ in reading.things]
        memory: Json = {"text": reading.text, "by": "user", "kind": reading.kind, "from": [said.message]}
        same = next((one for one in known if _is_same(reading, one)), None)
        replaced = [{"n": one.number, "was": one.text} for one in known if contradicts(reading.claims, one.claims)]
        if same is not None and not replaced:
            memory["same_as"] = same.number
        elif replaced:
            memory["replaces"] = replaced
        memory |= _category(request.get("categories") or (), reading)
        if reading.days_ago is not None:
            memory["when"] = str(_day(request) - timedelta(days=reading.days_ago))
        if names:
            memory["about"] = names
        yield memory


def _is_same(reading: Reading, known: _Known) -> bool:
    return reading.text.casefold() == known.text.casefold() or repeats(reading.claims, known.claims)


def _read(sentence: str) -> Reading | None:
    return read_chinese(sentence) if _CHINESE.search(sentence) else read_english(sentence)


def _claims_of(text: str) -> tuple[Claim, ...]:
    return chinese_claims(text) if _CHINESE.search(text) else english_claims(text)


def _category(wanted: Sequence[str], reading: Reading) -> Json:
    for name in wanted:
        topics = _CATEGORIES.get(str(name).casefold(), ())
        if topics and any(claim.topic.startswith(topics) for claim in reading.claims):
            return {"category": name}
    return {}


def _day(request: Mapping[str, Any]) -> date:
    return date.fromisoformat(str(request["today"])[:10])

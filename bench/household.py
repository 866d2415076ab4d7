"""What a Chinese household told its assistant, and what it asks later in other words (household_zh.json)."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from xiaozhi_server.core.providers.memory.mem0ai.recall.folding import folded

FILE = Path(__file__).parent / "household_zh.json"
_FACTS_A_DAY = 6
_HAN_RUN = re.compile("[\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class Line:
    """`id` is empty where nobody will ask for it; `speaker` is None for the assistant."""

    id: str
    speaker: str | None
    text: str


@dataclass(frozen=True, slots=True)
class HouseholdQuestion:
    """`shared`: how many pairs of neighbouring characters the question has in common with the facts that answer it."""

    text: str
    facts: frozenset[str]
    shared: int


@dataclass(frozen=True, slots=True)
class Household:
    days: tuple[tuple[Line, ...], ...]
    questions: tuple[HouseholdQuestion, ...]


def read_household(file: Path = FILE) -> Household:
    """Each day a few facts, and some talk that is none."""
    told = json.loads(file.read_text("utf-8"))
    facts = [Line(one["id"], one["speaker"], one["text"]) for one in told["facts"]]
    talk = [(Line("", one["speaker"], one["text"]), Line("", None, one["reply"])) for one in told["talk"]]
    days = [facts[at : at + _FACTS_A_DAY] for at in range(0, len(facts), _FACTS_A_DAY)]
    by_id = {fact.id: fact.text for fact in facts}
    return Household(
        tuple((*day, *talk[number % len(talk)]) for number, day in enumerate(days)),
        tuple(
            HouseholdQuestion(
                one["text"], frozenset(one["facts"]), _shared(one["text"], [by_id[id] for id in one["facts"]])
            )
            for one in told["questions"]
        ),
    )


def _shared(question: str, facts: list[str]) -> int:
    return len(_pairs(question) & {pair for fact in facts for pair in _pairs(fact)})


def _pairs(text: str) -> set[str]:
    """Traditional and Simplified alike; punctuation and Latin part the runs."""
    return {run[at : at + 2] for run in _HAN_RUN.findall(folded(text)) for at in range(len(run) - 1)}

"""Long dialogues between two people with questions and the turns that answer them, in the form of LoCoMo's files."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_CATEGORIES = (1, 2, 3, 4)  # 5 asks for what was never said
_TURN = re.compile(r"D\d+:\d+")
_SESSION = re.compile(r"session_(\d+)")
_WHEN = "%I:%M %p on %d %B, %Y"


@dataclass(frozen=True, slots=True)
class Turn:
    id: str
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Session:
    name: str
    begins_at: datetime
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """`evidence` are the ids of the turns that answer it."""

    text: str
    category: int
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Dialogue:
    name: str
    sessions: tuple[Session, ...]
    questions: tuple[Question, ...]


def read_dialogues(file: Path) -> list[Dialogue]:
    """Questions without a turn that is there are left out."""
    return [_dialogue(entry) for entry in json.loads(file.read_text("utf-8"))]


def _dialogue(entry: dict[str, Any]) -> Dialogue:
    sessions = tuple(_sessions(entry["conversation"]))
    known = frozenset(turn.id for session in sessions for turn in session.turns)
    questions = [_question(one, known) for one in entry["qa"] if one["category"] in _CATEGORIES]
    return Dialogue(str(entry["sample_id"]), sessions, tuple(one for one in questions if one.evidence))


def _sessions(conversation: dict[str, Any]) -> list[Session]:
    numbers = sorted(int(found[1]) for name in conversation if (found := _SESSION.fullmatch(name)))
    return [
        Session(
            f"session_{number}",
            datetime.strptime(conversation[f"session_{number}_date_time"], _WHEN).replace(tzinfo=UTC),
            tuple(Turn(one["dia_id"], one["speaker"], one["text"]) for one in conversation[f"session_{number}"]),
        )
        for number in numbers
    ]


def _question(entry: dict[str, Any], known: frozenset[str]) -> Question:
    # "D8:6; D9:17" is two turns in one text.
    evidence = _TURN.findall(" ".join(entry.get("evidence") or ()))
    return Question(str(entry["question"]), int(entry["category"]), known.intersection(evidence))

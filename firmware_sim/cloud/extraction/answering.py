"""Which of the requests that a memory makes this is. The request is all that the stand-in model knows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from firmware_sim.cloud.extraction.household import TASK, household_answer
from firmware_sim.cloud.extraction.stock import EXTRACTOR, RATER, facts_for_mem0, rating


def is_for_memory(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the facts of a talk are asked for, in our words or in mem0's."""
    system = str(messages[0].get("content") or "") if len(messages) == 2 else ""
    return system.startswith(TASK) or EXTRACTOR in system


def answer_for_memory(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """What the model says to a request of a memory; None where the request is another one."""
    if len(messages) != 2:
        return None
    system, asked = (str(message.get("content") or "") for message in messages)
    if system.startswith(TASK):
        return household_answer(asked)
    if EXTRACTOR in system:
        return facts_for_mem0(asked)
    return rating(asked) if RATER in system else None


def first_known(messages: Sequence[Mapping[str, Any]]) -> str:
    """The first of the memories that a request of ours shows; nothing where it shows none, or is another one."""
    if len(messages) != 2 or not str(messages[0].get("content") or "").startswith(TASK):
        return ""
    known = json.loads(str(messages[1].get("content") or "{}")).get("known") or [{}]
    return str(known[0].get("text") or "")

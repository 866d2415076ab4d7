"""Puts a finished turn into the form in which it is written down. Knows no database."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from ..errors import TurnError
from ..ports import Exchange, SpokenLine
from .inputs import OutcomeKind, TurnContext
from .utterance import Utterance


def build_exchange(
    turn_id: str,
    context: TurnContext,
    *,
    asked: Utterance,
    asked_at: datetime,
    heard: str,
    outcome: OutcomeKind,
    timings_ms: dict[str, float],
    errors: Iterable[TurnError],
) -> Exchange:
    """Both lines as they were heard; where nothing was heard, the person's line alone."""
    lines = [_line("user", asked.text, asked_at, asked.speaker)]
    if heard:
        lines.append(_line("assistant", heard, datetime.now(UTC)))
    return Exchange(
        turn_id, context.session_id, context.binding, tuple(lines), outcome, dict(timings_ms), error_names(errors)
    )


def error_names(errors: Iterable[TurnError]) -> tuple[str, ...]:
    return tuple(f"{error.stage}:{error.code}" for error in errors)


def _line(
    role: Literal["user", "assistant"], content: str, spoken_at: datetime, speaker: str | None = None
) -> SpokenLine:
    return SpokenLine(str(uuid.uuid4()), role, content, spoken_at, speaker)

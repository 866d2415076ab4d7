"""The stand-in model keeps notes: old lines stay, what the person said becomes new ones. It reads the request only."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_TASK = "You keep the notes"
_BLOCK = re.compile(r"<(notes|conversation)>\n(.*?)\n?</\1>", re.DOTALL)
_SAID = re.compile(r"^\[(?P<day>\d{4}-\d\d-\d\d)[^\]]*\] (?!assistant:)[^:]+: (?P<text>.*)$", re.MULTILINE)


def rewritten_notes(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The page that was asked for; None where something else was."""
    if len(messages) != 2 or not str(messages[0].get("content")).startswith(_TASK):
        return None
    blocks = dict(_BLOCK.findall(str(messages[1].get("content"))))
    said = [f"[{found['day']}] {found['text']}" for found in _SAID.finditer(blocks.get("conversation", ""))]
    known = [line for line in blocks.get("notes", "").splitlines() if line.strip()]
    return "\n".join([*known, *(line for line in said if not line.endswith(("?", "？")))])

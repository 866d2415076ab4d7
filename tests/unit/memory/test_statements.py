"""Statements as they are sent: without what only their readers need, and all that means something in them."""

from pathlib import Path

import pytest

from xiaozhi_server.core.providers.memory.mem0ai import statements
from xiaozhi_server.core.providers.memory.mem0ai.finding import owner_load
from xiaozhi_server.core.providers.memory.mem0ai.statements import composed, statement

# What psycopg remembers how to take apart.
_KEPT_BYTES = 4096
_NAMES = sorted(path.stem for path in (Path(statements.__file__).parent / "sql").glob("*.sql"))


def test_what_runs_in_every_turn_is_taken_apart_once() -> None:
    assert len(owner_load._LOAD) <= _KEPT_BYTES


@pytest.mark.parametrize("name", _NAMES)
def test_only_comments_and_indentation_are_left_out(name: str) -> None:
    whole = (Path(statements.__file__).parent / "sql" / f"{name}.sql").read_text()
    meant = [line.strip() for line in whole.splitlines() if line.strip() and not line.strip().startswith("--")]
    assert statement(name).decode().split("\n") == meant


def test_a_part_keeps_its_own_lines() -> None:
    assert b"a\nAND b" in composed("entry_list", which="a\n    AND b")

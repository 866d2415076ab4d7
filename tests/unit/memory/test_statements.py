"""Statements are sent without comments and indentation: nothing in them may mean something across lines."""

import re
from pathlib import Path

import pytest

from xiaozhi_server.core.providers.memory.mem0ai import statements
from xiaozhi_server.core.providers.memory.mem0ai.finding import owner_load
from xiaozhi_server.core.providers.memory.mem0ai.statements import composed

# What psycopg remembers how to take apart.
_KEPT_BYTES = 4096
_FILES = sorted((Path(statements.__file__).parent / "sql").glob("*.sql"))
# Literals, quoted names and comments that end with their line. What comes first on a line counts: a quote in a comment
# is none, nor is a comment in quotes.
_WITHIN_A_LINE = re.compile(r"'[^']*'|\"[^\"]*\"|--.*")
_DANGERS = {
    "a quote is open at the end of the line": re.compile("['\"]"),
    "a text between dollars": re.compile(r"\$\w*\$"),
    "a comment of several lines": re.compile(r"/\*|\*/"),
}
# Python ends a line there and PostgreSQL does not: the rest of a comment would become SQL.
_OTHER_BREAK = re.compile(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def dangers_of(text: str) -> list[str]:
    """What leaving out and trimming single lines could change the meaning of, each with the number of its line."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        rest = _WITHIN_A_LINE.sub("", line)
        found += [f"{number}: {danger}" for danger, sign in _DANGERS.items() if sign.search(rest)]
        found += [f"{number}: a line break of another kind"] if _OTHER_BREAK.search(line) else []
    return found


def test_what_runs_in_every_turn_is_taken_apart_once() -> None:
    assert len(owner_load._LOAD) <= _KEPT_BYTES


def test_no_statement_has_anything_that_shortening_could_break() -> None:
    assert len(_FILES) > 100, "they lie elsewhere"
    found = {path.name: dangers_of(path.read_text("utf-8")) for path in _FILES}
    assert {name: dangers for name, dangers in found.items() if dangers} == {}


@pytest.mark.parametrize(
    ("text", "line", "danger"),
    [
        ("SELECT 'two\n    lines'", 1, "quote"),
        ("SELECT 'first\n-- not a comment\nlast'", 1, "quote"),
        ('SELECT 1\nFROM "odd\n  name"', 2, "quote"),
        ("SELECT 'it''s'' '\n, 'open", 2, "quote"),
        ("DO $$\nBEGIN\nEND $$", 1, "dollars"),
        ("SELECT $body$ a $body$", 1, "dollars"),
        ("SELECT 1 /* one\n-- two */\n, 2", 1, "several lines"),
        ("-- a comment\u2028that goes on\nSELECT 1", 1, "line break"),
        ("SELECT 'a\x85b'", 1, "line break"),
    ],
)
def test_what_shortening_could_break_is_found(text: str, line: int, danger: str) -> None:
    first = dangers_of(text)[0]
    assert first.startswith(f"{line}: ") and danger in first


def test_what_ends_with_its_line_is_no_danger() -> None:
    text = """
        -- An owner's memories, and "theirs: costs $$ /* or nothing */
        SELECT 'it''s', '--', '/* $$', "odd -- name"  -- isn't kept
        FROM entries
        """
    assert dangers_of(text) == []


def test_a_part_keeps_its_own_lines_but_no_comments() -> None:
    assert b"a\nAND b" in composed("entry_list", which="a\n    -- why\n\n    AND b")

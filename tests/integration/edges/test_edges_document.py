"""`docs/topics/edges.md` names every test of a numbered edge case and of what is never sent, and no other."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
TESTS = PROJECT / "tests" / "integration"
DOCUMENT = PROJECT / "docs" / "topics" / "edges.md"
EDGE_TEST = re.compile(r"^(?:async )?def test_((?:e\d\d_)+)(\w+)\(", re.MULTILINE)
NEVER_TEST = re.compile(r"^(?:async )?def test_(never_\w+)\(", re.MULTILINE)
CASE_ROW = re.compile(r"^\| (\d+) \| (.+) \| `(.+)` \|$", re.MULTILINE)
NEVER_NAME = re.compile(r"\bnever_\w+")


def edge_tests() -> set[tuple[int, str, str]]:
    """The number, the rest of the name, and the file."""
    return {
        (int(number), name.replace("_", " "), str(path.relative_to(TESTS)))
        for path in TESTS.rglob("test_*.py")
        for numbers, name in EDGE_TEST.findall(path.read_text())
        for number in re.findall(r"\d\d", numbers)
    }


def test_every_test_of_a_numbered_case_is_named() -> None:
    rows = CASE_ROW.findall(DOCUMENT.read_text())
    named = [(int(number), name, file) for number, name, file in rows]
    assert named == sorted(named, key=lambda row: row[0])
    assert len(named) == len(set(named))
    assert set(named) == edge_tests()


def test_every_test_of_what_is_never_sent_is_named() -> None:
    tests = NEVER_TEST.findall((TESTS / "edges" / "test_never_send.py").read_text())
    assert set(NEVER_NAME.findall(DOCUMENT.read_text())) - {"never_send"} == set(tests)

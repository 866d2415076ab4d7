"""Whoever types what `make help` or a page of ours says gets something, and no command goes without a word."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = frozenset(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
HELP = "\n".join(re.findall(r'^\t@echo "(.*)"$', MAKEFILE, re.MULTILINE))
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]


def test_every_target_is_in_the_help_and_no_other() -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)", HELP)) | {"help"} == TARGETS


def test_every_target_is_always_made() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None and set(phony[1].split()) == TARGETS


def test_pages_name_targets_that_there_are() -> None:
    named = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert ("README.md", "run") in named
    assert {one for one in named if one[1] not in TARGETS} == set()
    assert {target for page, target in named if page == "README.md"} == TARGETS, "the README tells of each"

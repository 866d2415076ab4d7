"""Lines say which request they belong to, once, and follow the level that is set."""

import logging
from collections.abc import Iterator

import pytest

from mem0_tools import logs

NAMES = ("mem0_tools", "xiaozhi_memory")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in NAMES}
    logs.join(handler)
    logs.join(handler)  # a second time changes nothing
    logs.set_level("INFO")
    yield handler
    for name, (level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
    logs.begin_run("")


@pytest.mark.parametrize("name", ["mem0_tools.calling", "xiaozhi_memory.mem0ai.engine"])
def test_each_line_comes_once_with_its_request(kept: Kept, name: str) -> None:
    logs.begin_run("run-7")
    logging.getLogger(name).info("found %d", 3)
    logs.begin_run("")
    logging.getLogger(name).info("100% done")
    assert kept.lines == ["[req:run-7] found 3", "[req:no-run-id] 100% done"]


def test_lines_do_not_go_on_to_whoever_else_listens(kept: Kept) -> None:
    assert not any(logging.getLogger(name).propagate for name in NAMES)


def test_a_run_is_one_short_line(kept: Kept) -> None:
    logs.begin_run("a\nb%s" + "x" * 1000)
    logging.getLogger("mem0_tools.x").info("found %d", 3)
    (line,) = kept.lines
    assert line.startswith("[req:ab%sxxx")
    assert len(line) < 160


def test_the_level_changes_at_once(kept: Kept) -> None:
    logger = logging.getLogger("mem0_tools.x")
    logger.debug("no")
    logs.set_level("DEBUG")
    logger.debug("yes")
    logs.set_level("ERROR")
    logger.warning("no")
    assert [line.partition("] ")[2] for line in kept.lines] == ["yes"]


def test_others_lines_are_left_as_they_are(kept: Kept) -> None:
    record = logging.LogRecord("somebody.else", logging.INFO, "", 0, "text", (), None)
    kept.handle(record)
    assert kept.lines == ["text"]

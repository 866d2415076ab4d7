"""Collects what devices heard under each fault and prints it as a table when the run is over."""

from collections.abc import Iterator

import pytest

from tests.support.fault_table import FaultTable

_TABLE = pytest.StashKey[FaultTable]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = FaultTable()


@pytest.fixture
def fault_table(request: pytest.FixtureRequest) -> Iterator[FaultTable]:
    """`fault_table.add(…)` puts a line into the table that is printed at the end of the run."""
    yield request.config.stash.setdefault(_TABLE, FaultTable())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash.get(_TABLE, None)
    if table is not None and table.rows:
        terminalreporter.section("what devices heard")
        terminalreporter.write_line(table.text())

"""What every test lives in: real parts where it asks for them, and no leaks."""

import pytest

from tests.support.leaks import no_leaked_threads_or_descriptors, watch_items
from tests.support.postgres import database_dsn, postgres_server

__all__ = ["database_dsn", "no_leaked_threads_or_descriptors", "postgres_server"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    watch_items(items)

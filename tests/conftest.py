"""What every test lives in: real parts where it asks for them, and no leaks."""

import pytest
from hypothesis import settings

from tests.support.leaks import no_leaked_threads_or_descriptors, watch_items
from tests.support.postgres import database_dsn, postgres_server

__all__ = ["database_dsn", "no_leaked_threads_or_descriptors", "postgres_server"]

# The same examples in every run, so that a change is judged by itself. New ones are looked for with
# `--hypothesis-profile=default` (part of `make fuzz`).
settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    watch_items(items)

"""The database for a command: the one of the settings; the embedded one is attached to, or started for as long as this
takes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .settings import Settings
from .store.database import Database, DatabaseOptions
from .store.embedded import EmbeddedPostgres


@asynccontextmanager
async def opened_database(settings: Settings, options: DatabaseOptions) -> AsyncIterator[Database]:
    chosen = settings.database
    dsn, embedded = chosen.url.get_secret_value(), None
    if not dsn:
        embedded = EmbeddedPostgres(
            Path(settings.data_dir), port=chosen.port or None, start_timeout_s=chosen.start_timeout_s
        )
        dsn = await embedded.start()
    try:
        database = await Database.open(dsn, start_timeout_s=chosen.start_timeout_s, options=options)
        try:
            yield database
        finally:
            await database.close()
    finally:
        if embedded is not None:
            await embedded.stop()

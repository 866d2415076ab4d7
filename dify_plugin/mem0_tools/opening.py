"""Opens the memory that the credentials describe. Whatever is heavy is loaded here, when it is first needed."""

import logging

from .credentials import Platform, Settings
from .memory import Home

logger = logging.getLogger(__name__)


async def open_home(settings: Settings) -> Home:
    """A CredentialsError, or what the parts raise, where it cannot be opened."""
    for warning in settings.warnings:
        logger.warning("%s", warning)
    if isinstance(settings.home, Platform):
        from .opening_platform import open_platform

        return await open_platform(settings, settings.home)
    if settings.home.has_postgres:
        from .opening_postgres import open_postgres

        return await open_postgres(settings, settings.home)
    from .opening_other import open_other

    return await open_other(settings, settings.home)

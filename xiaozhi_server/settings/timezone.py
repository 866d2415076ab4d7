"""The machine's own time zone by its IANA name. It knows nothing of settings."""

import os
from pathlib import Path
from zoneinfo import ZoneInfo

AUTO_TIMEZONE = "auto"


def local_timezone(environ_tz: str | None = None, localtime: Path = Path("/etc/localtime")) -> str:
    """`TZ`, else what /etc/localtime points to, else UTC."""
    candidates = [environ_tz if environ_tz is not None else os.environ.get("TZ", ""), _linked_zone(localtime)]
    return next((name for name in candidates if name and _exists(name)), "UTC")


def _linked_zone(localtime: Path) -> str:
    try:
        target = localtime.resolve(strict=True).as_posix()
    except OSError:
        return ""
    return target.partition("zoneinfo/")[2]


def _exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True

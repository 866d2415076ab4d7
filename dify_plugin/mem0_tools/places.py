"""Where files of ours lie: they must outlive an upgrade of the plugin, whose folder is named after its version."""

import hashlib
import json
import os
from pathlib import Path

from .credentials import Platform, SelfHosted, Settings

FOLDER_VARIABLE = "MEM0_PLUGIN_DATA"
_NAME = "data"


def data_folder(cwd: Path | None = None) -> Path:
    """As it is set; beside the plugin's folder where the daemon unpacks plugins, else in it."""
    told = os.environ.get(FOLDER_VARIABLE, "").strip()
    if told:
        return Path(told)
    here = cwd or Path.cwd()
    # The daemon's folders are named author/name-version@checksum.
    is_the_daemons = "@" in here.name and os.access(here.parent, os.W_OK)
    return here.parent / "mem0ai-data" if is_the_daemons else here / _NAME


def folder_for(settings: Settings, base: Path | None = None) -> Path:
    """Of one memory, whatever else of the credentials changes: what was accepted yesterday is done today."""
    folder = (base or data_folder()) / name_of(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def name_of(settings: Settings) -> str:
    """The same for all credentials that lead to the same memories."""
    return hashlib.sha256(_identity(settings.home).encode()).hexdigest()[:16]


def _identity(home: SelfHosted | Platform) -> str:
    """Where memories are kept; without what changes when a key is renewed."""
    if isinstance(home, Platform):
        return f"platform {home.host} {home.api_key}"
    config = {name: value for name, value in home.vector_store.config.items() if not _is_secret(name)}
    return json.dumps([home.vector_store.provider, config], sort_keys=True, default=str)


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in ("key", "password", "token", "secret"))

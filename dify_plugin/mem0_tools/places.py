"""Where files of ours lie: they must outlive an upgrade of the plugin, whose folder is named after its version."""

import hashlib
import os
from pathlib import Path

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


def folder_for(fingerprint: str, base: Path | None = None) -> Path:
    """Of one set of credentials: two workspaces do not share files."""
    name = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    folder = (base or data_folder()) / name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder

"""What goes into the package: the plugin's folder, and a copy of the memory package under the name it has there."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .ignore import ignored_by

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "dify_plugin"
MEMORY = ROOT / "xiaozhi_server" / "core" / "providers" / "memory"
MEMORY_NAME = "xiaozhi_memory"
IGNORE_FILE = ".difyignore"

Files = Mapping[str, bytes]


def collect(plugin: Path = PLUGIN, memory: Path = MEMORY) -> dict[str, bytes]:
    """Every file by its path in the package, sorted as the daemon sorts them."""
    ignored = ignored_by((plugin / IGNORE_FILE).read_text(encoding="utf-8").splitlines())
    found = dict(_files(plugin, "", ignored, leave=(MEMORY_NAME, IGNORE_FILE)))  # a checkout has a link there
    found.update(_files(memory, f"{MEMORY_NAME}/", ignored))
    return dict(sorted(found.items(), key=lambda file: file[0].encode()))


def _files(
    folder: Path, prefix: str, ignored: Callable[[str], bool], leave: tuple[str, ...] = ()
) -> Iterator[tuple[str, bytes]]:
    for file in folder.rglob("*"):
        below = file.relative_to(folder).as_posix()
        if below.split("/")[0] in leave or not file.is_file() or ignored(prefix + below):
            continue
        yield prefix + below, file.read_bytes()

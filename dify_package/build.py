"""Builds the package into a folder."""

from pathlib import Path
from typing import Any

import yaml

from .archive import packed
from .checksum import checksum
from .contents import MEMORY, PLUGIN, collect
from .variant import as_variant

MAX_BYTES = 2_000_000  # ours: a package is sent through a browser and kept in a database


class PackageTooLargeError(Exception):
    """Something came along that does not belong there."""


def build(out_dir: Path, plugin: Path = PLUGIN, memory: Path = MEMORY, *, variant: str | None = None) -> Path:
    """`NAME-VERSION.difypkg` in `out_dir`; the same sources give the same bytes."""
    files = collect(plugin, memory)
    if variant is not None:
        files = as_variant(files, variant)
    data = packed(files)
    if len(data) > MAX_BYTES:
        raise PackageTooLargeError(f"{len(data):,} bytes, at most {MAX_BYTES:,}: {_largest(files)}")
    manifest = manifest_of(files)
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{manifest['name']}-{manifest['version']}.difypkg"
    path.write_bytes(data)
    return path


def manifest_of(files: dict[str, bytes]) -> dict[str, Any]:
    return dict(yaml.safe_load(files["manifest.yaml"]))


def identifier(files: dict[str, bytes]) -> str:
    """What the daemon calls this very package."""
    manifest = manifest_of(files)
    return f"{manifest['author']}/{manifest['name']}:{manifest['version']}@{checksum(files)}"


def _largest(files: dict[str, bytes]) -> str:
    return ", ".join(sorted(files, key=lambda path: len(files[path]), reverse=True)[:5])

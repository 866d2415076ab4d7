"""The plugin's package as it is built from this checkout, and ways to spoil it."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dify_package.archive import packed
from dify_package.contents import collect
from dify_package.package import Package, read_package

Files = dict[str, bytes]
Spoil = Callable[[Files], None]


@cache
def _collected() -> Mapping[str, bytes]:
    return collect()


def plugin_files() -> Files:
    """A copy: a test may do with it what it likes."""
    return dict(_collected())


@cache
def whole_package() -> Package:
    return read_package(packed(_collected()))


def spoiled(spoil: Spoil) -> Package:
    """Not packed and read again: most rules look at the files alone."""
    files = _with(spoil)
    return Package(b"", tuple(files), files)


def repacked(spoil: Spoil) -> Package:
    return read_package(packed(_with(spoil)))


def _with(spoil: Spoil) -> Files:
    files = plugin_files()
    spoil(files)
    return dict(sorted(files.items(), key=lambda file: file[0].encode()))


def without(*paths: str) -> Spoil:
    def spoil(files: Files) -> None:
        for path in paths:
            del files[path]

    return spoil


def with_file(path: str, content: str | bytes) -> Spoil:
    def spoil(files: Files) -> None:
        files[path] = content.encode() if isinstance(content, str) else content

    return spoil


def with_more(path: str, text: str) -> Spoil:
    """The file with something at its end."""

    def spoil(files: Files) -> None:
        files[path] += text.encode()

    return spoil


def with_value(path: str, *keys: str | int, value: Any) -> Spoil:
    """The YAML file with one value changed; `...` takes the key away."""

    def spoil(files: Files) -> None:
        document = yaml.safe_load(files[path])
        place = document
        for key in keys[:-1]:
            place = place[key]
        if value is ...:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
        files[path] = yaml.safe_dump(document, allow_unicode=True).encode()

    return spoil


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

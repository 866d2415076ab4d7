"""What people read before they install it."""

import re
from collections.abc import Iterator

from ..package import Package

_OTHER_README = re.compile(r"readme/README_([a-z]{2}_[A-Za-z]{2,})\.md")
_NOT_ENGLISH = re.compile(r"[\u0400-\u04ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_README = ("install", "credential", "pgvector", "connection", "platform", "privacy")
_PRIVACY = ("language model", "embedding", "vector", "conversation", "mem0 platform", "telemetry", "log")
_MIN_CHARS = 800


def readme_is_english(package: Package) -> Iterator[str]:
    text = package.text("README.md")
    if found := _NOT_ENGLISH.search(text):
        yield f"README.md: {found[0]!r} (other languages go to readme/)"
    yield from _speaks_of("README.md", text, _README)


def other_readmes_are_named(package: Package) -> Iterator[str]:
    for path in package.files:
        if path.startswith("readme/") and not _OTHER_README.fullmatch(path):
            yield f"{path} is not named README_xx_Yyyy.md"


def privacy_is_told(package: Package) -> Iterator[str]:
    yield from _speaks_of("PRIVACY.md", package.text("PRIVACY.md"), _PRIVACY)


def changes_are_told(package: Package) -> Iterator[str]:
    version = str(package.manifest.get("version")).split("-")[0]
    if version not in package.text("CHANGELOG.md"):
        yield f"CHANGELOG.md: nothing about {version}"
    if not package.text("LICENSE").startswith("MIT License"):
        yield "LICENSE: not the MIT License"


def _speaks_of(path: str, text: str, subjects: tuple[str, ...]) -> Iterator[str]:
    if len(text) < _MIN_CHARS:
        yield f"{path}: {len(text)} characters tell nothing"
    lower = text.lower()
    yield from (f"{path}: nothing about {subject}" for subject in subjects if subject not in lower)

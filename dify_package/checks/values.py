"""Small rules on single values; each tells what is wrong, or nothing."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LANGUAGES = ("en_US", "zh_Hans", "pt_BR", "ja_JP")
TAGS = {
    "search",
    "image",
    "videos",
    "weather",
    "finance",
    "design",
    "travel",
    "social",
    "news",
    "medical",
    "productivity",
    "education",
    "business",
    "entertainment",
    "utilities",
    "rag",
    "other",
}  # the SDK's; the daemon also knows agent and trigger
IDENTITY = re.compile(r"[a-zA-Z0-9_-]+")
_TEXT_LIMIT = 1024


def said(value: Any, where: str, limit: int = _TEXT_LIMIT) -> Iterator[str]:
    """A text for people: in all our languages, in none that the daemon does not know."""
    if not isinstance(value, Mapping):
        yield f"{where}: not a text in languages"
        return
    for language in LANGUAGES:
        text = value.get(language)
        if not isinstance(text, str) or not text.strip():
            yield f"{where}: nothing in {language}"
        elif len(text) >= limit:
            yield f"{where}: {len(text)} characters in {language}, fewer than {limit} are allowed"
    yield from (f"{where}: there is no language {key}" for key in value if key not in LANGUAGES)


def fits(value: Any, pattern: re.Pattern[str], where: str) -> Iterator[str]:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        yield f"{where}: {value!r} does not fit {pattern.pattern}"


def one_of(value: Any, allowed: Iterable[Any], where: str) -> Iterator[str]:
    if value not in (known := list(allowed)):
        yield f"{where}: {value!r} is none of {', '.join(map(str, known))}"


def flag(value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{where}: {value!r} is neither true nor false"


def tags(value: Any, where: str) -> Iterator[str]:
    for tag in value if isinstance(value, list) else [value]:
        yield from one_of(tag, sorted(TAGS), where)


def part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A mapping in a mapping; an empty one where there is something else, so that its rules speak."""
    value = of.get(name)
    return value if isinstance(value, Mapping) else {}


def parts(of: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = of.get(name) or []
    return [entry if isinstance(entry, Mapping) else {} for entry in value] if isinstance(value, list) else [{}]

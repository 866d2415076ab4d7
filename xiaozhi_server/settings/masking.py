"""Which settings are secret, and how to show a value without giving one away."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pydantic import SecretStr

from .layers import leaves

MASK = "********"
_SHORTEST_SECRET = 6  # shorter ones ("none") would mask half of the log
_SECRET_NAME = re.compile(
    r"(key|token|secret|password|passwd|authorization|credential)s?$|^appid$|^(secret|access_key)_id$", re.IGNORECASE
)
_NOT_SECRET = frozenset({"budget_tokens", "max_tokens", "max_new_tokens"})
# People forget to escape @ and /: up to the last @.
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):(\S*)(?=@)")
_URL_PARAMETER = re.compile(r"(?<=[?&])([^?&=#\s]+)=([^?&#\s]+)")
_BROKEN_ADDRESS = re.compile(r"://.*\s")
_DSN_PASSWORD = re.compile(r"(\bpassword\s*=\s*)('(?:\\.|[^'])*'|\S+)")


def is_secret_name(name: str) -> bool:
    return name not in _NOT_SECRET and _SECRET_NAME.search(name) is not None


def show(name: str, value: Any) -> str:
    """A value as it may be printed."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        return _hide_password(text) if name == "url" and not _BROKEN_ADDRESS.search(text) else _hidden(text)
    if is_secret_name(name):
        return _hidden(value)
    if isinstance(value, list | tuple):
        return ", ".join(show(name, item) for item in value)
    return _hide_password(str(value))


def _hidden(value: Any) -> str:
    return MASK if value else ""


def _hide_password(text: str) -> str:
    if "://" not in text:
        return _DSN_PASSWORD.sub(rf"\1{MASK}", text)
    text = _URL_PASSWORD.sub(rf"\1:{MASK}", text)
    return _URL_PARAMETER.sub(lambda found: f"{found[1]}={show(found[1], found[2])}", text)


def secrets_of(values: Mapping[str, Any]) -> frozenset[str]:
    """Every secret text in a tree of settings: what no log line may show."""
    found = {secret for path, value in leaves(values) for secret in _secrets_in(path[-1], value)}
    return frozenset(secret for secret in found if len(secret) >= _SHORTEST_SECRET)


def _secrets_in(name: str, value: Any) -> Iterator[str]:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(plain, list | tuple):
        for item in plain:
            yield from _secrets_in(name, item)
    elif isinstance(plain, dict):
        yield from secrets_of(plain)
    elif isinstance(plain, str | int) and not isinstance(plain, bool):
        yield from _secrets_in_text(name, str(plain))


def _secrets_in_text(name: str, text: str) -> Iterator[str]:
    if is_secret_name(name):
        yield text
    if "://" not in text:
        yield from (match[2].strip("'") for match in _DSN_PASSWORD.finditer(text))
        return
    in_address = [match[2] for match in _URL_PASSWORD.finditer(text)]
    in_address += [match[2] for match in _URL_PARAMETER.finditer(text) if is_secret_name(match[1])]
    for secret in in_address:
        yield secret
        yield unquote(secret)

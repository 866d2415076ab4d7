"""Which texts of the settings and of a call must never be shown, whatever form they came in.

A secret may be a field, a part of an address (its password, or what its query says), of a PostgreSQL or ODBC connection
string, or of a header. What an error may quote is any of these by itself, so each is known by itself.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from .errors import ToolInputError
from .parameters import parsed

_WORDS = frozenset({"key", "passw", "pwd", "passphrase", "secret", "token", "auth", "credential", "cookie", "header"})
_WORDS |= frozenset({"connection_string", "dsn", "signature", "sas"})
_COUNTS = ("tokens",)  # of a model, and no secret
_SHORTEST = 4  # shorter ones would hide half of every sentence
_FIELDS = ("_secret", "_json", "api_key")
_PARAMETERS = ("dify_api_key",)

_SET = re.compile(
    r"[\w.-]{0,40}(?:key|passw|pwd|secret|token|signature|sig)[\w.-]{0,40}\s*=\s*"
    r"(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>[^\s;&'\"]+))",
    re.IGNORECASE,
)
# Also where a character of the password should have been escaped and was not.
_LOGIN = re.compile(r"://[^:@/\s]*:(?P<password>\S+)@")
_SCHEME = re.compile(r"(?P<scheme>basic|bearer|token|apikey|digest)\s+(?P<value>\S+)", re.IGNORECASE)


def secrets_of(credentials: Mapping[str, Any] | None) -> list[str]:
    """Every value of the settings that must never be shown, the longest first."""
    found: set[str] = set()
    for name, value in (credentials or {}).items():
        if not (name.endswith(_FIELDS) and isinstance(value, str)):
            _gather("", value, found)
            continue
        found.add(value.strip())
        try:
            _gather("", parsed(value, name), found)
        except ToolInputError:
            found |= _inside(value)
    return _longest_first(found)


def secrets_among(parameters: Mapping[str, Any]) -> list[str]:
    """The same of what a workflow hands over: texts that it wants remembered are none."""
    found: set[str] = set()
    for name in _PARAMETERS:
        _gather(name, parameters.get(name), found)
    _gather("", parameters.get("dify_base_url"), found)
    return _longest_first(found)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Short ones only as whole words: they may be a part of many."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, "***")
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


def _gather(name: str, value: Any, found: set[str]) -> None:
    """What lies below a name that sounds like a secret is one too."""
    if isinstance(value, Mapping):
        for inner, one in value.items():
            _gather(name if _sounds_secret(name) else str(inner), one, found)
    elif isinstance(value, list | tuple):
        for one in value:
            _gather(name, one, found)
    elif isinstance(value, str):
        if _sounds_secret(name):
            found.add(value.strip())
            found.update(_after_scheme(value))
        found.update(_inside(value.strip()))
    elif isinstance(value, int) and not isinstance(value, bool) and _sounds_secret(name):
        found.add(str(value))


def _sounds_secret(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in _WORDS) and not lowered.endswith(_COUNTS)


def _inside(text: str) -> set[str]:
    """The parts of a text that are secret by themselves, as they stand there and as they are meant."""
    found = {match["quoted"] or match["plain"] or "" for match in _SET.finditer(text)}
    found |= {match["password"] for match in _LOGIN.finditer(text)}
    found |= set(_login(text))
    found |= {re.sub(r"\\(.)", r"\1", one) for one in found}
    return found | {unquote(one) for one in found} | {unquote_plus(one) for one in found}


def _login(address: str) -> Iterable[str]:
    """The password of an address; a name without one is a token."""
    try:
        parts = urlsplit(address)
        password, name = parts.password, parts.username
    except ValueError:
        return ()
    if not parts.scheme or not parts.netloc:
        return ()
    if password:
        return (password, f"{name}:{password}")
    return (name,) if name else ()


def _after_scheme(value: str) -> Iterable[str]:
    """What stands in a header behind the word that says what it is."""
    match = _SCHEME.fullmatch(value.strip())
    if match is None:
        return ()
    return (match["value"], *(_basic(match["value"]) if match["scheme"].lower() == "basic" else ()))


def _basic(value: str) -> Iterable[str]:
    try:
        told = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return ()
    return (told, told.partition(":")[2])


def _longest_first(found: set[str]) -> list[str]:
    return sorted((one for one in found if len(one) >= _SHORTEST), key=lambda one: (-len(one), one))

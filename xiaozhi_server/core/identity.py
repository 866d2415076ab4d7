"""Who a device says it is: from the headers of firmware or the query of a browser. It believes, it does not check."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

MAX_ID_CHARS = 64
MAX_TEXT_CHARS = 200

_MAC = re.compile(r"(?:[0-9a-f]{2}[:-]?){5}[0-9a-f]{2}")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_SAFE_CHARACTERS = ":._-"


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What came with the upgrade request. The token never shows up in a log."""

    device_id: str
    client_id: str | None
    protocol_version: int
    user_agent: str | None = None
    language: str | None = None
    token: str | None = field(default=None, repr=False)


def identify(header: Callable[[str], str | None], path: str) -> DeviceIdentity | None:
    """The identity of a request for `path`, `header` being its header look-up. None: it names no device."""
    query = _query_of(path)

    def value_of(name: str) -> str | None:
        return header(name) or query.get(name.lower())

    device_id = normalise_device_id(value_of("Device-Id") or "")
    if device_id is None:
        return None
    return DeviceIdentity(
        device_id=device_id,
        client_id=_short(value_of("Client-Id")),
        protocol_version=_protocol_version(header("Protocol-Version")),
        user_agent=_short(header("User-Agent")),
        language=preferred_language(header("Accept-Language")),
        token=_bearer(value_of("Authorization")),
    )


def normalise_device_id(raw: str) -> str | None:
    """One spelling for one device: a MAC in lower case with colons, any other name lower case and safe in a path.

    None where nothing is left. Different names stay different.
    """
    name = unicodedata.normalize("NFKC", raw[:2000]).strip().casefold()
    if _MAC.fullmatch(name):
        digits = name.replace(":", "").replace("-", "")
        return ":".join(digits[start : start + 2] for start in range(0, 12, 2))
    safe = quote(name.encode("utf-8", "replace"), safe=_SAFE_CHARACTERS).strip(".")
    if len(safe) > MAX_ID_CHARS:
        return safe[: MAX_ID_CHARS - 17] + "-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    return safe or None


def preferred_language(header: str | None) -> str | None:
    """The first tag of an Accept-Language header. Firmware sends one, a browser a weighted list."""
    tag = (header or "").partition(",")[0].partition(";")[0].strip()
    return tag if _LANGUAGE_TAG.fullmatch(tag) else None


def _query_of(path: str) -> dict[str, str]:
    try:
        pairs = parse_qs(urlsplit(path).query, max_num_fields=32)
    except ValueError:
        return {}
    return {name.lower(): values[0] for name, values in pairs.items()}


def _protocol_version(value: str | None) -> int:
    """Firmware sends bare packets for anything but 2 and 3, so everything else is 1."""
    return int(value) if value in ("2", "3") else 1


def _bearer(value: str | None) -> str | None:
    if not value:
        return None
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" and rest else value


def _short(text: str | None) -> str | None:
    return text[:MAX_TEXT_CHARS] if text else None

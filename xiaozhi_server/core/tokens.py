"""Device tokens: signed, expiring, and worth something only together with the identity they were made for.

A token carries no name. Device, client and generation go into the signature, so a token that is shown by anybody else
does not fit. Knows no store: whether a generation still counts is the gate's question.
"""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

KEY_FILE = "auth_key"
MAX_TOKEN_CHARS = 200
_FORMAT = "1"
_PURPOSE = b"xiaozhi device token 1"


class TokenMint:
    """`now` is the time of day in seconds: tokens outlive the process."""

    def __init__(self, key: str, lifetime_s: float, now: Callable[[], float] = time.time) -> None:
        # The operator's key may sign other things elsewhere: this one is for these tokens only.
        self._key = hmac.digest(key.encode(), _PURPOSE, "sha256")
        self._lifetime_s = lifetime_s
        self._now = now

    def issue(self, device_id: str, client_id: str, generation: int) -> str:
        expires_at = int(self._now() + self._lifetime_s)
        return f"{_FORMAT}.{generation}.{expires_at}.{self._signature(device_id, client_id, generation, expires_at)}"

    def generation_of(self, token: str, device_id: str, client_id: str) -> int | None:
        """Which generation a token of this device and client is of. None: it is not ours, not theirs, or too old."""
        parts = token.split(".") if len(token) <= MAX_TOKEN_CHARS and token.isascii() else []
        if len(parts) != 4 or parts[0] != _FORMAT or not all(map(_is_number, parts[1:3])):
            return None
        generation, expires_at = int(parts[1]), int(parts[2])
        expected = self._signature(device_id, client_id, generation, expires_at)
        genuine = hmac.compare_digest(parts[3].encode(), expected.encode())
        return generation if genuine and self._now() < expires_at else None

    def _signature(self, device_id: str, client_id: str, generation: int, expires_at: int) -> str:
        fields = (device_id, client_id, str(generation), str(expires_at))
        # The length before each field: no two lists of fields make the same bytes.
        encoded = [field.encode("utf-8", "replace") for field in fields]
        message = b"".join(len(field).to_bytes(4) + field for field in encoded)
        digest = hmac.new(self._key, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def kept_key(folder: Path) -> str:
    """The key of this data directory, made at its first use. Whoever may read the file may make tokens."""
    path = folder / KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    draft = folder / f".{KEY_FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        # Complete or not there at all, and only one of two servers that start at once makes it.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return path.read_text().strip()


def _is_number(text: str) -> bool:
    return text.isdigit() and len(text) <= 12

"""A package's signature as the daemon verifies it: for those who sign what they install themselves.

What is signed are the hashes of the files in the order of the zip, and the time. It lies in the zip's comment.
"""

import base64
import hashlib
import json
from collections.abc import Mapping

from .archive import comment_of, packed, unpacked
from .rsa import PrivateKey, PublicKey

VERIFICATION_FILE = ".verification.dify.json"
CATEGORIES = ("langgenius", "partner", "community")


class SignatureError(Exception):
    """Not signed, or not by this key, or changed since."""


def sign(data: bytes, key: PrivateKey, *, now: int, category: str = "community") -> bytes:
    """The same files with a signature; `now` in seconds since 1970. An older signature is replaced."""
    if category not in CATEGORIES:
        raise ValueError(f"the category is one of {', '.join(CATEGORIES)}")
    files = unpacked(data)
    files.pop(VERIFICATION_FILE, None)
    files[VERIFICATION_FILE] = json.dumps({"authorized_category": category}, separators=(",", ":")).encode()
    signature = key.sign(_signed(files, now))
    comment = json.dumps({"signature": base64.b64encode(signature).decode(), "time": now}, separators=(",", ":"))
    signed = packed(files, comment.encode())
    verify(signed, key.public)
    return signed


def verify(data: bytes, key: PublicKey) -> int:
    """When it was signed, in seconds since 1970."""
    signature, time = _signature_of(data)
    if not key.verifies(_signed(unpacked(data), time), signature):
        raise SignatureError("the signature does not fit the key or the files")
    return time


def _signature_of(data: bytes) -> tuple[bytes, int]:
    try:
        comment = json.loads(comment_of(data))
        return base64.b64decode(comment["signature"], validate=True), int(comment["time"])
    except (ValueError, KeyError, TypeError):
        raise SignatureError("the package is not signed") from None


def _signed(files: Mapping[str, bytes], time: int) -> bytes:
    return b"".join(hashlib.sha256(content).digest() for content in files.values()) + str(time).encode()

"""RSA signatures (PKCS #1 v1.5 with SHA-256) with the key files that the daemon reads, and nothing to install for it.

For signing a package by hand: nothing here hides how long it takes, so it is not for a server.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_PEM = re.compile(r"\s*-----BEGIN (?P<kind>[A-Z ]+)-----(?P<body>[A-Za-z0-9+/=\s]+)-----END (?P=kind)-----\s*")
_SEQUENCE, _INTEGER = 0x30, 0x02
_MIN_BITS = 1024


class KeyFileError(Exception):
    """Not a key file of the kind that is needed here."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    modulus: int
    exponent: int

    @property
    def size(self) -> int:
        return (self.modulus.bit_length() + 7) // 8

    def verifies(self, data: bytes, signature: bytes) -> bool:
        if len(signature) != self.size:
            return False
        opened = pow(int.from_bytes(signature, "big"), self.exponent, self.modulus)
        return opened.to_bytes(self.size, "big") == _padded(data, self.size)


@dataclass(frozen=True, slots=True)
class PrivateKey:
    public: PublicKey
    exponent: int

    def sign(self, data: bytes) -> bytes:
        size = self.public.size
        signature = pow(int.from_bytes(_padded(data, size), "big"), self.exponent, self.public.modulus)
        return signature.to_bytes(size, "big")

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.modulus.bit_length()} bits)"


def read_private_key(pem: str) -> PrivateKey:
    """KeyFileError unless it is PKCS #1, as `openssl genrsa -traditional 4096` writes it."""
    numbers = _numbers(_body(pem, "RSA PRIVATE KEY"))
    if len(numbers) < 9:
        raise KeyFileError("the private key is not complete")
    _version, modulus, public, private = numbers[:4]
    return PrivateKey(_checked(PublicKey(modulus, public)), private)


def read_public_key(pem: str) -> PublicKey:
    """KeyFileError unless it is PKCS #1, as `openssl rsa -RSAPublicKey_out` writes it."""
    numbers = _numbers(_body(pem, "RSA PUBLIC KEY"))
    if len(numbers) != 2:
        raise KeyFileError("the public key is not complete")
    return _checked(PublicKey(*numbers))


def _checked(key: PublicKey) -> PublicKey:
    if key.modulus.bit_length() < _MIN_BITS or key.exponent < 3:
        raise KeyFileError("the key is too short")
    return key


def _padded(data: bytes, size: int) -> bytes:
    tail = _SHA256_INFO + hashlib.sha256(data).digest()
    return b"\x00\x01" + b"\xff" * (size - len(tail) - 3) + b"\x00" + tail


def _body(pem: str, kind: str) -> bytes:
    found = _PEM.fullmatch(pem)
    if found is None or found["kind"] != kind:
        raise KeyFileError(f"this is no PEM file with one {kind} (PKCS #1)")
    try:
        return base64.b64decode("".join(found["body"].split()), validate=True)
    except ValueError:
        raise KeyFileError("the key file is damaged") from None


def _numbers(der: bytes) -> list[int]:
    """The integers of one ASN.1 sequence, which is all that these files hold."""
    tag, content, rest = _element(der)
    if tag != _SEQUENCE or rest:
        raise KeyFileError("the key file is damaged")
    numbers = []
    while content:
        tag, value, content = _element(content)
        if tag != _INTEGER:
            raise KeyFileError("the key file is damaged")
        numbers.append(int.from_bytes(value, "big"))
    return numbers


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    if len(der) < 2:
        raise KeyFileError("the key file is damaged")
    tag, length, start = der[0], der[1], 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[2 : 2 + count], "big")
        start += count
    end = start + length
    if end > len(der):
        raise KeyFileError("the key file is damaged")
    return tag, der[start:end], der[end:]

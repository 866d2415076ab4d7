"""The checksum by which the daemon knows a package: over paths and contents, not over the zip's bytes."""

import hashlib
from collections.abc import Mapping


def checksum(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for path in sorted(files, key=str.encode):
        total.update(hashlib.sha256(path.encode()).digest())
        total.update(hashlib.sha256(files[path]).digest())
    return total.hexdigest()

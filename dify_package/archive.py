"""A `.difypkg` is a plain zip. The same files give the same bytes, whoever packs them and whenever."""

import io
import zipfile
from collections.abc import Mapping

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip knows
_UNIX = 3
_READABLE = 0o100644 << 16


def packed(files: Mapping[str, bytes], comment: bytes = b"") -> bytes:
    """The files in the order given; `comment` is where a signature lies."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in files.items():
            archive.writestr(_entry(path), content)
        archive.comment = comment
    return buffer.getvalue()


def _entry(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, _EPOCH)
    entry.create_system = _UNIX
    entry.external_attr = _READABLE
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files in the order in which they lie there."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}


def comment_of(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.comment

"""Which form a file has, told by its beginning."""

from typing import BinaryIO, Literal

from .errors import TransferError
from .lines import Rewound, parsed
from .mem0_file import looks_like
from .notes_file import is_map
from .ours import FORMAT

Format = Literal["ours", "mem0", "mem0-lines", "memory-yaml", "summary"]
FORMATS: tuple[Format, ...] = ("ours", "mem0", "mem0-lines", "memory-yaml", "summary")

HEAD = 1_000_000  # bytes; a line of ours is no longer
_PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
_WIDE = (b"\xff\xfe", b"\xfe\xff")


def begun(file: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes, and the file with all of them still to come."""
    import io

    head = file.read(HEAD)
    return head, io.BufferedReader(Rewound(head, file), buffer_size=64 * 1024)


def recognised(head: bytes) -> Format:
    """A TransferError says why it cannot be told."""
    if not head.strip():
        raise TransferError("this file is empty")
    if head.startswith(_PACKED):
        raise TransferError("this file is compressed: unpack it first")
    if head.startswith(_WIDE) or b"\0" in head[:4096]:
        raise TransferError("this file is not UTF-8 text: convert it first")
    text = head.decode("utf-8-sig", "replace")  # a broken line does not matter yet
    found = _of_json(text) or (_of_text(text) if _is_utf8(head) else None)
    if found is None:
        raise TransferError(f"the form of this file is not known: say which with --format ({', '.join(FORMATS)})")
    return found


def _is_utf8(head: bytes) -> bool:
    """A head that is not the whole file may end within a character."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD and error.start > HEAD - 4
    return True


def _of_json(text: str) -> Format | None:
    first = text.lstrip()
    if first[:1] not in ("{", "["):
        return None
    try:
        value = parsed(first.partition("\n")[0])
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and value.get("kind") == "header" and value.get("format") == FORMAT:
        return "ours"
    if isinstance(value, dict) and looks_like(value):
        return "mem0-lines"
    if first[:1] == "{" or isinstance(value, list) or _begins_a_list(first):
        return "mem0" if _speaks_of_memories(first) else _of_notes(text)
    return None


def _of_notes(text: str) -> Format | None:
    """A page of notes may be JSON too: a model wrote it."""
    try:
        return "summary" if isinstance(parsed(text), dict) else None
    except (ValueError, RecursionError):
        return None


def _begins_a_list(text: str) -> bool:
    """Of objects, or an empty one; a note may begin with its day in brackets."""
    return text[1:].lstrip()[:1] in ("{", "]")


def _speaks_of_memories(text: str) -> bool:
    return '"memory"' in text or '"results"' in text or text.replace(" ", "").startswith("[]")


def _of_text(text: str) -> Format | None:
    if not text.strip() or text.lstrip()[:1] == "{":
        return None
    return "memory-yaml" if is_map(text) else "summary"

"""A form with one file (multipart/form-data), put together in memory in one go. It knows no service."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FormFile:
    field: str
    file_name: str
    content_type: str
    content: bytes


def encode_form(fields: Mapping[str, str], file: FormFile) -> tuple[str, bytes]:
    """The content type and the body. Names of fields and files are ours: nothing in them needs to be escaped."""
    # 128 random bits: no value and no sound holds them.
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{file.field}"; filename="{file.file_name}"\r\n'
        f"Content-Type: {file.content_type}\r\n\r\n"
    )
    body = b"".join(("".join(parts).encode(), file.content, f"\r\n--{boundary}--\r\n".encode()))
    return f"multipart/form-data; boundary={boundary}", body

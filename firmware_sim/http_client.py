"""HTTP requests with the limits of the firmware's network library: no redirects, 8 KiB of body, 30 s.

It knows nothing of what is asked or answered.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_sim.errors import BootError, DeviceCrashError
from firmware_sim.websocket import Url, open_stream, parse_url

TIMEOUT_S = 30.0
MAX_BODY_BYTES = 8192


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    body: bytes


async def post(url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float = TIMEOUT_S) -> HttpAnswer:
    """POST a body; an answer that would freeze the device's reader is raised as a crash."""
    target = parse_url(url)
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(target, _request(target, headers, body))
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise BootError(f"{url}: {error or 'no answer in time'}") from error


async def _exchange(url: Url, request: bytes) -> HttpAnswer:
    reader, writer = await open_stream(url)
    try:
        writer.write(request)
        await writer.drain()
        return await _read_answer(reader)
    finally:
        writer.transport.abort()


def _request(url: Url, headers: Mapping[str, str], body: bytes) -> bytes:
    host = url.host if url.port in (80, 443) else f"{url.host}:{url.port}"
    own = {"Connection": "close", "Content-Length": str(len(body)), "Host": host}
    lines = [f"{name}: {value}" for name, value in sorted({**headers, **own}.items())]
    return "\r\n".join([f"POST {url.path} HTTP/1.1", *lines, "", ""]).encode() + body


async def _read_answer(reader: asyncio.StreamReader) -> HttpAnswer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = head[0].split(" ")
    if len(fields) < 2 or not fields[1].isdigit():
        raise BootError(f"not an HTTP answer: {head[0]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    return HttpAnswer(int(fields[1]), await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    if "content-length" in headers:
        size = int(headers["content-length"])
        _check_size(size)
        return await reader.readexactly(size)
    body = b""
    while chunk := await reader.read(MAX_BODY_BYTES):
        body += chunk
        _check_size(len(body))
    return body


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        _check_size(len(body) + size)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return body


def _check_size(size: int) -> None:
    if size >= MAX_BODY_BYTES:
        raise DeviceCrashError(f"an HTTP body of {size} bytes freezes the device: it reads less than {MAX_BODY_BYTES}")

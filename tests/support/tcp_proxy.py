"""A TCP link that fails the way networks do: refused, dropped, frozen, cut in the middle, slow, or full of noise.

It stands between the server and somebody it asks. It knows nothing of what flows through it.
"""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

LinkMode = Literal["good", "refuse", "hang_up", "freeze", "cut", "trickle", "noise"]
NOISE = bytes(range(255, 127, -1)) * 8
READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class LinkFault:
    """What happens to the answers of the other side; requests always get through, except where nobody listens.

    refuse: nobody listens, and what was connected is gone; hang_up: whoever comes is let in and thrown out by a reset;
    freeze: after `after_bytes` of answer nothing more comes, and nobody hangs up (half open); cut: a reset there;
    trickle: `step_bytes` every `step_s`; noise: bytes that are no answer.
    """

    mode: LinkMode = "good"
    after_bytes: int = 0
    step_bytes: int = 16
    step_s: float = 0.05
    delay_s: float = 0.0  # before each piece of an answer


GOOD_LINK = LinkFault()


class TcpProxy:
    """`async with TcpProxy(host, port) as proxy:` then connect to `proxy.port` and set `proxy.fail(...)`."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._target_port = port
        self._fault = GOOD_LINK
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._reserved = self._bind()
        self.port = int(self._reserved.getsockname()[1])
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._refuse()
        self._release()

    async def fail(self, fault: LinkFault) -> None:
        """Links that are open feel it too, from their next answer on."""
        self._fault = fault
        if fault.mode == "refuse":
            await self._refuse()
        elif self._server is None:
            await self._listen()
        if fault.mode == "hang_up":
            await self._drop_links()

    async def heal(self) -> None:
        """New connections are good. Those that had frozen stay as they were: nobody thaws a half-open one."""
        await self.fail(GOOD_LINK)

    # --- the door ---

    def _bind(self) -> socket.socket:
        """Bound and not listening, the port is ours and refuses everybody."""
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((self._host, self.port))
        door.setblocking(False)
        return door

    async def _listen(self) -> None:
        assert self._reserved is not None
        door, self._reserved = self._reserved, None
        self._server = await asyncio.start_server(self._accept, sock=door)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserved = self._bind()
        await self._drop_links()

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    async def _drop_links(self) -> None:
        links = tuple(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    # --- the links ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        self.accepted += 1
        try:
            if self._fault.mode != "hang_up":
                await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one side left, or we hang up
        finally:
            _reset(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(self._host, self._target_port)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump_requests(reader, onward_writer))
                pumps.create_task(self._pump_answers(onward_reader, writer))
        except* OSError:
            pass
        finally:
            onward_writer.transport.abort()

    async def _pump_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("the client has left")

    async def _pump_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault, passed = self._fault, 0
        while data := await reader.read(READ_BYTES):
            if fault is not self._fault:
                fault, passed = self._fault, 0
            passed += await _answer(fault, data, passed, writer)
        writer.write_eof()
        await asyncio.Event().wait()  # until the client leaves too


async def _answer(fault: LinkFault, data: bytes, passed: int, writer: asyncio.StreamWriter) -> int:
    """Pass on a piece of an answer as the fault wants it; how many bytes of it."""
    await asyncio.sleep(fault.delay_s)
    match fault.mode:
        case "trickle":
            for start in range(0, len(data), fault.step_bytes):
                await _write(writer, data[start : start + fault.step_bytes])
                await asyncio.sleep(fault.step_s)
        case "noise":
            await _write(writer, NOISE)
        case "freeze" | "cut":
            data = data[: max(0, fault.after_bytes - passed)]
            await _write(writer, data)
            if passed + len(data) >= fault.after_bytes:
                await _stop_here(fault)
        case _:
            await _write(writer, data)
    return len(data)


async def _stop_here(fault: LinkFault) -> None:
    if fault.mode == "cut":
        raise ConnectionResetError("cut here")
    await asyncio.Event().wait()  # half open: until the client gives up


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End it by RST, as a crashed machine or a firewall does."""
    door = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

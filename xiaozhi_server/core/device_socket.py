"""One device's websocket without tasks and queues of its own: messages are handed over as they arrive, and sending
returns at once. Knows nothing of what the messages mean.

Frames are taken where the library would queue them for a reader, and written straight into the transport's buffer. At
300 devices that saves a wake-up for each of ten thousand frames a second.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection, broadcast
from websockets.frames import DATA_OPCODES, TEXT, CloseCode, Frame
from websockets.protocol import OPEN, Event
from websockets.server import ServerProtocol

Message = str | bytes

# What may arrive between the upgrade and `attach`: a hello and the burst of sound that follows a wake word.
MAX_EARLY_MESSAGES = 64
SEND_DEADLINE_S = 5.0
MAX_BACKLOG_BYTES = 256 * 1024
LEFT = "device left"
DOES_NOT_READ = "device does not read"
DOES_NOT_ANSWER = "device does not answer"


class Channel(Protocol):
    """What a connection needs of its socket."""

    def attach(self, receive: Callable[[Message], None]) -> None:
        """From now on `receive` gets every message, first those that came too early. It must not raise."""
        ...

    def send(self, message: Message) -> None:
        """Send without waiting. A socket that is closed, or about to be, swallows it."""
        ...

    def abort(self) -> None:
        """Drop the TCP connection at once, without a close handshake."""
        ...

    async def close(self, code: int, reason: str) -> None: ...

    async def wait_closed(self) -> str:
        """Returns once the socket is closed, with what ended it as far as this end knows."""
        ...


class DeviceSocket(ServerConnection):
    """A client that does not take what it is sent within `send_deadline_s`, or lets too much pile up, is dropped."""

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        send_deadline_s: float = SEND_DEADLINE_S,
        **options: Any,
    ) -> None:
        super().__init__(protocol, server, **options)
        self._send_deadline_s = send_deadline_s
        self._send_timer: asyncio.TimerHandle | None = None
        self._receive: Callable[[Message], None] | None = None
        self._early: deque[Message] = deque()
        self._fragments: list[Frame] = []
        self._given_up = ""

    @property
    def end(self) -> str:
        """Why the socket is closed. What a device wrote into a Close frame is not repeated."""
        if self._given_up:
            return self._given_up
        sent = self.protocol.close_sent
        if sent is None or self.protocol.close_rcvd_then_sent:
            return LEFT
        if sent.code == CloseCode.INTERNAL_ERROR:  # what the library says when no pong came: its network is gone
            return DOES_NOT_ANSWER
        return f"closed with {int(sent.code)}"

    def attach(self, receive: Callable[[Message], None]) -> None:
        self._receive = receive
        while self._early:
            receive(self._early.popleft())

    def send_now(self, message: Message) -> None:
        if self.protocol.state is not OPEN:
            return
        broadcast((self,), message)
        if self.transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self._give_up()

    def abort(self) -> None:
        self.transport.abort()

    def process_event(self, event: Event) -> None:
        if self.request is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(event)
        if event.fin:
            frames, self._fragments = self._fragments, []
            self._hand_over(frames)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._send_deadline_s, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _hand_over(self, frames: list[Frame]) -> None:
        message = _message_of(frames)
        if message is None:
            logger.debug("ignored a text that is not UTF-8")
        elif self._receive is None:
            self._keep(message)
        elif self.protocol.state is OPEN:
            self._receive(message)

    def _keep(self, message: Message) -> None:
        """The first ones count: one of them is the hello."""
        if len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(message)

    def _give_up(self) -> None:
        self._given_up = DOES_NOT_READ
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None


class SocketChannel:
    """The port over a socket of the library, whose own `send` is a coroutine."""

    __slots__ = ("_socket", "abort", "attach", "send")

    def __init__(self, socket: DeviceSocket) -> None:
        self._socket = socket
        self.attach = socket.attach
        self.send = socket.send_now
        self.abort = socket.abort

    async def close(self, code: int, reason: str) -> None:
        """Waits for the other end no longer than the close timeout: firmware never answers a Close."""
        await self._socket.close(CloseCode(code), reason)

    async def wait_closed(self) -> str:
        await self._socket.wait_closed()
        return self._socket.end


def _message_of(frames: list[Frame]) -> Message | None:
    data = bytes(frames[0].data) if len(frames) == 1 else b"".join(frame.data for frame in frames)
    if frames[0].opcode is not TEXT:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None

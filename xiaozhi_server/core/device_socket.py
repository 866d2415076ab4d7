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
from websockets.frames import DATA_OPCODES, TEXT, CloseCode, Frame, Opcode
from websockets.protocol import OPEN, Event
from websockets.server import ServerProtocol

from .bounds import Allowance, Bound, Door, OnBound, SocketBounds
from .gate import Pass
from .identity import DeviceIdentity

Message = str | bytes

# What may arrive between the upgrade and `attach`: a hello and the burst of sound that follows a wake word.
MAX_EARLY_MESSAGES = 64
# What has arrived is looked at in slices of this size: the smallest frames are six bytes, and each costs its time.
SLICE_BYTES = 4 * 1024
# Who sends too fast is heard again after this time at least, so that waking up for it costs little.
MIN_HOLD_S = 0.05
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
    """A client that does not take what it is sent in time, or lets too much pile up, is dropped. One that sends too
    fast is read no faster than its allowance: what it sends meanwhile waits in its own network.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        bounds: SocketBounds,
        door: Door,
        on_bound: OnBound,
        **options: Any,
    ) -> None:
        super().__init__(protocol, server, **options)
        self._bounds = bounds
        self._door = door
        self._on_bound = on_bound
        self._allowance = Allowance(bounds.messages_per_second, bounds.message_burst)
        self._arrived = 0
        self._held = b""
        self._hold_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._receive: Callable[[Message], None] | None = None
        self._early: deque[Message] = deque()
        self._parts = bytearray()
        self._parts_opcode: Opcode | None = None
        self._given_up = ""
        self._was_slowed = False
        self.identity: DeviceIdentity | None = None
        self.admitted_with: Pass | None = None

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
        self._look_at_unsent()

    def abort(self) -> None:
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._door.knock(self)

    def data_received(self, data: bytes) -> None:
        if self._hold_timer is not None:
            self._held += data  # a transport may hand over what it had read before it was told to pause
            return
        for start in range(0, len(data), SLICE_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + SLICE_BYTES] if len(data) > SLICE_BYTES else data)
            self._look_at_unsent()  # the library itself answers pings
            self._see_it_close()
            if self._owes():
                self._hold(data[start + SLICE_BYTES :])
                return

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame):
            self._arrived += 1 + (len(event.data) >> 10)
        if self.request is None or not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.fin and self._parts_opcode is None:
            self._hand_over(event.opcode, bytes(event.data))
            return
        # Joined as they come: kept one by one, empty fragments without end would fill the memory.
        self._parts_opcode = self._parts_opcode or event.opcode
        self._parts += event.data
        if event.fin:
            opcode, whole = self._parts_opcode, bytes(self._parts)
            self._parts_opcode, self._parts = None, bytearray()
            self._hand_over(opcode, whole)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._bounds.send_deadline_s, self._give_up, "send_timeout_s")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        for timer in (self._hold_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._held = b""
        self._door.gone(self)
        super().connection_lost(exc)
        if self.protocol.close_sent is not None and self.protocol.close_sent.code == CloseCode.MESSAGE_TOO_BIG:
            self._on_bound("max_message_bytes")

    def _hand_over(self, opcode: Opcode, data: bytes) -> None:
        message = _message_of(opcode, data)
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
        else:
            self._on_bound("max_early_messages")

    def _see_it_close(self) -> None:
        """After a Close of its own the library waits for the client to end TCP, which a client need not do."""
        if self._close_timer is None and self.close_deadline is not None:
            self._close_timer = self.loop.call_at(self.close_deadline, self.transport.abort)

    def _owes(self) -> bool:
        arrived, self._arrived = self._arrived, 0
        if not arrived:
            return False
        self._allowance.spend(arrived)
        return self._allowance.debt_s > 0

    def _hold(self, rest: bytes) -> None:
        """Read no more until the debt is paid. TCP tells the other end to wait."""
        if self.transport.is_closing():
            return
        if not self._was_slowed:
            self._was_slowed = True
            logger.warning("it sends more than {:g} messages a second: slowed down", self._bounds.messages_per_second)
        self._on_bound("messages_per_second")
        self._held = rest
        self.transport.pause_reading()
        self._hold_timer = self.loop.call_later(max(MIN_HOLD_S, self._allowance.debt_s), self._go_on)

    def _go_on(self) -> None:
        self._hold_timer = None
        held, self._held = self._held, b""
        self.data_received(held)
        if self._hold_timer is None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _look_at_unsent(self) -> None:
        if self.transport.get_write_buffer_size() > self._bounds.max_unsent_bytes and not self._given_up:
            self._give_up("max_unsent_bytes")

    def _give_up(self, bound: Bound) -> None:
        self._given_up = DOES_NOT_READ
        self._on_bound(bound)
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


def _message_of(opcode: Opcode, data: bytes) -> Message | None:
    if opcode is not TEXT:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None

"""The voice channel: one websocket at a time, its hello, and what comes in on it.

It knows the wire and the firmware's habits on it, nothing of listening, speaking or tools.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware_sim.bootstrap import Identity, Storage
from firmware_sim.errors import (
    ChannelClosedError,
    ConnectError,
    DeviceCrashError,
    FirmwareError,
    HelloTimeoutError,
)
from firmware_sim.frames import FrameLayout
from firmware_sim.handshake import (
    Habits,
    SessionParams,
    device_hello,
    is_for_websocket,
    session_params,
    undecodable,
    upgrade_headers,
)
from firmware_sim.websocket import Message, ServerClose, WebSocketClient

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told what: every JSON message but the hello, every Opus packet, the end (once or more often), oddities."""

    message: Callable[[Json], None]
    packet: Callable[[bytes], None]
    ended: Callable[[FirmwareError], None]
    noted: Callable[[str], None]


class Channel:
    """Outlives its websockets: a hello that came too often or too late stays latched for the next one."""

    def __init__(self, identity: Identity, habits: Habits, storage: Storage, receiver: Receiver) -> None:
        self.session = SessionParams()
        self.server_hello: Json | None = None
        self.server_close: ServerClose | None = None
        self.received: deque[Json] = deque(maxlen=1000)
        self.number = 0  # another one for each websocket, so that what comes late can be told from what does not
        self._identity = identity
        self._habits = habits
        self._storage = storage
        self._receiver = receiver
        self._socket: WebSocketClient | None = None
        self._reader: asyncio.Task[None] | None = None
        self._crash: DeviceCrashError | None = None
        self._layout = FrameLayout()
        self._greeted = asyncio.Event()
        self._greeting = False
        self._opened = False
        self._last_data_at_s = 0.0

    @property
    def is_open(self) -> bool:
        return self._opened and self._socket is not None and self._socket.is_open and self.server_close is None

    @property
    def silent_s(self) -> float:
        """How long ago the last data frame came; Ping and Close are none."""
        return asyncio.get_running_loop().time() - self._last_data_at_s

    async def connect(self) -> None:
        """Open the websocket; nothing is read from it before `greet`."""
        self.server_close = self._crash = None
        self._layout = FrameLayout(self._storage.version())
        self._socket = await WebSocketClient.open(self._storage.url(), upgrade_headers(self._identity, self._storage))

    async def greet(self) -> None:
        """Exchange hellos. After a timeout TCP stays, and what comes late is still taken."""
        assert self._socket is not None
        socket = self._socket
        self._last_data_at_s = asyncio.get_running_loop().time()
        self._greeting = True
        self._reader = asyncio.create_task(self._read(socket))
        try:
            socket.send_text(json.dumps(device_hello(self._habits, self._layout.version), separators=(",", ":")))
            if self._greeted.is_set():
                self._receiver.noted("a hello was left over from the last session: this one is not waited for")
            await self._wait_for_greeting(self._reader)
        finally:
            self._greeting = False
        self._check_greeting(socket)
        self._greeted.clear()
        self._opened = True

    async def drop(self) -> None:
        """Hang up without a Close frame, and end everything that ran on the websocket."""
        socket, self._socket = self._socket, None
        reader, self._reader = self._reader, None
        self._opened = False
        self.number += 1
        if socket is not None:
            socket.drop()
        if reader is not None:
            await _end(reader)
        if socket is not None:
            await socket.wait_closed()

    def hang_up(self) -> None:
        """As `drop`, from where nothing can be awaited."""
        if self._socket is not None:
            self._socket.drop()

    def abort(self) -> None:
        """Vanish with a reset."""
        if self._socket is not None:
            self._socket.abort()

    async def wait_ended(self) -> None:
        if self._reader is not None:
            await asyncio.wait([self._reader])

    def send_text(self, text: str) -> None:
        self._writable().send_text(text)

    def send_binary(self, data: bytes) -> None:
        self._writable().send_binary(data)

    def send_audio(self, packet: bytes, timestamp_ms: int = 0) -> None:
        self.send_binary(self._layout.pack(packet, timestamp_ms))

    def _writable(self) -> WebSocketClient:
        if self._socket is None or not self._socket.is_open or self.server_close is not None:
            raise ChannelClosedError("there is no open channel")
        return self._socket

    async def _wait_for_greeting(self, reader: asyncio.Task[None]) -> None:
        """Until the hello came, the channel ended or the time is over."""
        greeted = asyncio.create_task(self._greeted.wait())
        try:
            await asyncio.wait(
                [greeted, reader], timeout=self._habits.hello_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            greeted.cancel()

    def _check_greeting(self, socket: WebSocketClient) -> None:
        if self._crash is not None:
            raise self._crash
        if self._greeted.is_set():
            return
        if not socket.is_open:
            raise ConnectError(f"the server closed instead of greeting: {self.server_close or 'TCP closed'}")
        raise HelloTimeoutError(f"no hello within {self._habits.hello_timeout_s:g} s")

    async def _read(self, socket: WebSocketClient) -> None:
        try:
            while (message := await socket.receive()) is not None:
                self._take(message)
        except DeviceCrashError as crash:
            self._crash = crash
            socket.abort()
            self._receiver.ended(crash)
            return
        socket.drop()
        self._tell_end()

    def _take(self, message: Message) -> None:
        if isinstance(message, ServerClose):
            # No echo and no hanging up: real firmware leaves the rest to the server.
            self.server_close = message
            self._tell_end()
            return
        self._last_data_at_s = asyncio.get_running_loop().time()
        if isinstance(message, bytes):
            self._receiver.packet(self._layout.unpack(message).payload)
        else:
            self._take_text(message)

    def _tell_end(self) -> None:
        self._receiver.ended(ChannelClosedError(f"the server ended the channel: {self.server_close or 'TCP closed'}"))

    def _take_text(self, text: str) -> None:
        message = _parse(text)
        if message is None:
            self._receiver.noted("a text frame was not a JSON object with a type")
            return
        self.received.append(message)
        if message["type"] == "hello":
            self._take_hello(message)
        else:
            self._receiver.message(message)

    def _take_hello(self, message: Json) -> None:
        if not is_for_websocket(message):
            self._receiver.noted(f"a hello for transport {message['transport']!r} is ignored")
            return
        if not self._greeting or self._greeted.is_set():
            self._receiver.noted("a hello came when nobody waited for it")
        self.server_hello = message
        self.session = session_params(message, self.session)
        if reason := undecodable(self.session):
            self._receiver.noted(reason)
        self._greeted.set()


def _parse(text: str) -> Json | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for it; what it died of before is not swallowed."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()

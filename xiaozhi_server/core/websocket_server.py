"""Where devices come in: the upgrade, who is connected, and the way out. One `ConnectionHandler` for each device; a
device that comes again replaces itself. Knows nothing of what is said.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import cast
from uuid import uuid4

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from .connection import ConnectionHandler, ConnectionServices
from .device_socket import DeviceSocket, SocketChannel
from .identity import DeviceIdentity, identify
from .ports import DeviceContact

NOT_A_WEBSOCKET = "This is the websocket port of a voice server. It talks to devices, not to browsers.\n"
NO_DEVICE_ID = "The header Device-Id (or the query parameter device-id) is missing.\n"
FULL = "There are too many connections.\n"
# Above the high mark a socket counts as stalled until all of it is sent: about two seconds of speech.
WRITE_MARKS_BYTES = (8 * 1024, 0)
RETRY_AFTER_S = "10"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    host: str = "0.0.0.0"  # noqa: S104 - devices are other machines
    port: int = 8000
    max_connections: int = 2_000
    max_message_bytes: int = 65_536
    backlog: int = 1_024
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    open_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    send_deadline_s: float = 5.0


class WebSocketServer:
    def __init__(self, options: ServerOptions, services: ConnectionServices) -> None:
        self._options = options
        self._services = services
        self._server: Server | None = None
        self._by_device: dict[str, ConnectionHandler] = {}
        self._all: set[ConnectionHandler] = set()

    @property
    def connections(self) -> int:
        """How many there are, replaced ones that are still being wound up included."""
        return len(self._all)

    async def start(self) -> int:
        """Listen; the answer is the port, which differs from the asked one where that was 0. OSError: it is taken."""
        options = self._options
        self._server = await serve(
            self._serve_socket,
            options.host,
            options.port,
            process_request=self._admit,
            compression=None,
            server_header=None,
            open_timeout=options.open_timeout_s,
            ping_interval=options.ping_interval_s,
            ping_timeout=options.ping_timeout_s,
            close_timeout=options.close_timeout_s,
            max_size=options.max_message_bytes,
            write_limit=WRITE_MARKS_BYTES,
            backlog=options.backlog,
            # The library types this as a class, but calls it as what it says it is: a factory.
            create_connection=cast(
                type[ServerConnection], partial(DeviceSocket, send_deadline_s=options.send_deadline_s)
            ),
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def drain(self, deadline_s: float) -> bool:
        """Take no new connections, let current turns end, close. False: some had to be cut off at the deadline."""
        if self._server is None:
            return True
        server, self._server = self._server, None
        server.close(close_connections=False)
        for handler in tuple(self._all):
            handler.leave()
        in_time = await _closes_within(server, deadline_s)
        if not in_time:
            for handler in tuple(self._all):
                handler.drop("server stops")
            await _closes_within(server, self._options.close_timeout_s + 1.0)
        return in_time

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """None lets the upgrade go on. What is refused here never becomes a connection."""
        if not request.headers.get_all("Upgrade"):
            return socket.respond(HTTPStatus.OK, NOT_A_WEBSOCKET)
        if _identity_of(request) is None:
            return socket.respond(HTTPStatus.BAD_REQUEST, NO_DEVICE_ID)
        if len(self._all) >= self._options.max_connections:
            response = socket.respond(HTTPStatus.SERVICE_UNAVAILABLE, FULL)
            response.headers["Retry-After"] = RETRY_AFTER_S
            return response
        return None

    async def _serve_socket(self, socket: ServerConnection) -> None:
        if not isinstance(socket, DeviceSocket) or socket.request is None:
            raise TypeError("a socket of ours, after its request")
        identity = _identity_of(socket.request)
        if identity is None:
            raise ValueError("a request that was admitted names its device")
        session_id = str(uuid4())
        with logger.contextualize(device=identity.device_id, session=session_id):
            contact = _contact_of(identity, socket.remote_address)
            channel = SocketChannel(socket)
            handler = ConnectionHandler(channel, contact, session_id, identity.protocol_version, self._services)
            await self._run(handler)

    async def _run(self, handler: ConnectionHandler) -> None:
        """The new connection wins: after a lost network the old one only looks alive."""
        earlier = self._by_device.get(handler.device_id)
        self._by_device[handler.device_id] = handler
        self._all.add(handler)
        if earlier is not None:
            earlier.drop("replaced by a newer connection")
        try:
            await handler.run()
        except Exception as error:  # noqa: BLE001 - the boundary of a connection: the others go on
            logger.error("the connection failed: {}", type(error).__name__)
            logger.opt(exception=True).debug("where it failed")
        finally:
            self._all.discard(handler)
            if self._by_device.get(handler.device_id) is handler:
                del self._by_device[handler.device_id]


def _identity_of(request: Request) -> DeviceIdentity | None:
    def header(name: str) -> str | None:
        values = request.headers.get_all(name)
        return values[0] if values else None

    return identify(header, request.path)


def _contact_of(identity: DeviceIdentity, address: object) -> DeviceContact:
    return DeviceContact(
        device_id=identity.device_id,
        client_id=identity.client_id,
        remote_address=str(address[0]) if isinstance(address, tuple) and address else None,
        user_agent=identity.user_agent,
        language=identity.language,
    )


async def _closes_within(server: Server, deadline_s: float) -> bool:
    try:
        async with asyncio.timeout(deadline_s):
            await server.wait_closed()
    except TimeoutError:
        return False
    return True

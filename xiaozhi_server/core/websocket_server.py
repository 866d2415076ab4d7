"""Where devices come in: the upgrade, who is connected, and the way out. One `ConnectionHandler` for each device; a
device that comes again replaces itself. Knows nothing of what is said.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import cast
from uuid import uuid4

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from .bounds import Door, Porch, SocketBounds, Squabbles
from .connection import ConnectionHandler, ConnectionServices
from .device_socket import DeviceSocket, SocketChannel
from .gate import Gate, Pass, Refusal
from .identity import DeviceIdentity, identify
from .ports import DeviceContact
from .proxies import TrustedProxies
from .tls_entrance import TlsEntrance

NOT_A_WEBSOCKET = "This is the websocket port of a voice server. It talks to devices, not to browsers.\n"
NO_DEVICE_ID = "The header Device-Id (or the query parameter device-id) is missing.\n"
FULL = "There are too many connections.\n"
SQUABBLE = "Another client uses the same device id, and the two replace each other again and again.\n"
# Above the high mark a socket counts as stalled until all of it is sent: about two seconds of speech.
WRITE_MARKS_BYTES = (8 * 1024, 0)
RETRY_AFTER_S = "10"
REVOKED = "access revoked"
# How soon a revocation ends a connection, without the time that the database takes to answer.
PASS_CHECK_S = 0.4


@dataclass(frozen=True, slots=True)
class ServerOptions:
    host: str = "0.0.0.0"  # noqa: S104 - devices are other machines
    port: int = 8000
    max_connections: int = 1_000
    max_pending_connections: int = 500  # they have not asked for the upgrade yet, or not finished a TLS handshake
    replacements_per_minute: int = 10  # of one device id by a second client
    max_message_bytes: int = 65_536
    messages_per_second: float = 200.0
    message_burst: int = 1_000
    max_unsent_bytes: int = 256 * 1024
    backlog: int = 1_024
    ping_interval_s: float = 25.0
    ping_timeout_s: float = 20.0
    open_timeout_s: float = 10.0
    close_timeout_s: float = 1.0
    send_deadline_s: float = 5.0
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class _Seat:
    """Who came last under a device id. Its handler may outlive its socket: winding up takes its time."""

    socket: DeviceSocket
    handler: ConnectionHandler


class WebSocketServer:
    """Without a `gate` everybody may come in."""

    def __init__(
        self,
        options: ServerOptions,
        services: ConnectionServices,
        gate: Gate | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._options = options
        self._services = services
        self._gate = gate
        self._proxies = proxies or TrustedProxies()
        self._pass_checks: asyncio.Task[None] | None = None
        self._server: Server | None = None
        self._by_device: dict[str, _Seat] = {}
        self._all: set[ConnectionHandler] = set()
        self._passes: dict[ConnectionHandler, Pass] = {}
        on_bound = services.observer.bound_reached
        self._porch = Porch(options.max_pending_connections, "max_pending_connections", on_bound)
        self._door = Door(options.max_connections, self._porch, on_bound)
        self._tls_entrance = (
            None
            if options.tls is None
            else TlsEntrance(
                options.tls, self._porch, handshake_s=options.open_timeout_s, shutdown_s=options.close_timeout_s
            )
        )
        self._squabbles = Squabbles(options.replacements_per_minute, on_bound)

    @property
    def pending(self) -> int:
        """How many have connected and not been let in yet."""
        return len(self._porch)

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
            create_connection=cast(type[ServerConnection], self._socket_factory()),
        )
        if self._gate is not None:
            self._pass_checks = asyncio.create_task(self._check_passes(self._gate), name="pass checks")
        return int(self._server.sockets[0].getsockname()[1])

    def _socket_factory(self) -> Callable[..., asyncio.Protocol]:
        options = self._options
        bounds = SocketBounds(
            options.messages_per_second, options.message_burst, options.max_unsent_bytes, options.send_deadline_s
        )
        on_bound = self._services.observer.bound_reached
        make_socket = partial(DeviceSocket, bounds=bounds, door=self._door, on_bound=on_bound)
        entrance = self._tls_entrance
        if entrance is None:
            return make_socket
        return lambda *arguments, **more: entrance.take(partial(make_socket, *arguments, **more))

    async def drain(self, deadline_s: float) -> bool:
        """Take no new connections, let current turns end, close. False: some had to be cut off at the deadline."""
        if self._server is None:
            return True
        server, self._server = self._server, None
        server.close(close_connections=False)
        if self._tls_entrance is not None:
            await self._tls_entrance.close()
        for handler in tuple(self._all):
            handler.leave()
        in_time = await _closes_within(server, deadline_s)
        if not in_time:
            for handler in tuple(self._all):
                handler.drop("server stops")
            await _closes_within(server, self._options.close_timeout_s + 1.0)
        if self._pass_checks is not None:
            self._pass_checks.cancel()
            await asyncio.wait({self._pass_checks})
        return in_time

    async def _check_passes(self, gate: Gate) -> None:
        """Ends the connections of devices that were revoked or paired anew, by whichever process."""
        while True:
            await asyncio.sleep(PASS_CHECK_S)
            if not self._passes:
                continue
            try:
                outdated = set(await gate.outdated(set(self._passes.values())))
            except Exception as error:  # noqa: BLE001 - a look-up among many: the next one may work
                logger.error("passes cannot be checked: {}", type(error).__name__)
                continue
            for handler, found in tuple(self._passes.items()):
                if found in outdated:
                    handler.drop(REVOKED)

    async def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """None lets the upgrade go on. What is refused here never becomes a connection."""
        if not request.headers.get_all("Upgrade"):
            return socket.respond(HTTPStatus.OK, NOT_A_WEBSOCKET)
        identity = _identity_of(request)
        if identity is None:
            return socket.respond(HTTPStatus.BAD_REQUEST, NO_DEVICE_ID)
        visitor = _visitor(socket)
        visitor.identity = identity
        if not self._door.enter(visitor, in_place_of_another=self._holder_of(identity.device_id) is not None):
            return _later(socket, HTTPStatus.SERVICE_UNAVAILABLE, FULL)
        response = await self._ask_gate(visitor, identity)
        # After the gate, so that a stranger cannot use up what the device itself may need.
        if response is None and not self._may_have_name(identity.device_id):
            response = _later(socket, HTTPStatus.TOO_MANY_REQUESTS, SQUABBLE)
        if response is not None:
            self._door.turn_away(visitor)
        return response

    def _may_have_name(self, device_id: str) -> bool:
        return self._holder_of(device_id) is None or self._squabbles.may_replace(device_id)

    def _holder_of(self, device_id: str) -> ConnectionHandler | None:
        """Who stands in the way of another with this name. One whose socket is gone does not."""
        seat = self._by_device.get(device_id)
        return seat.handler if seat is not None and self._door.is_inside(seat.socket) else None

    async def _ask_gate(self, socket: DeviceSocket, identity: DeviceIdentity) -> Response | None:
        if self._gate is None:
            return None
        verdict = await self._gate.admit(identity)
        if not isinstance(verdict, Refusal):
            socket.admitted_with = verdict
            return None
        logger.info("refused {} with {}: {}", identity.device_id, verdict.status.value, verdict.text.strip())
        response = socket.respond(verdict.status, verdict.text)
        if verdict.status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        if verdict.retry_after_s is not None:
            response.headers["Retry-After"] = str(verdict.retry_after_s)
        return response

    async def _serve_socket(self, socket: ServerConnection) -> None:
        if not isinstance(socket, DeviceSocket) or socket.request is None or socket.identity is None:
            raise TypeError("a socket of ours, after its request was admitted")
        identity = socket.identity
        session_id = str(uuid4())
        with logger.contextualize(device=identity.device_id, session=session_id):
            contact = self._contact_of(identity, socket, socket.request)
            channel = SocketChannel(socket)
            handler = ConnectionHandler(channel, contact, session_id, identity.protocol_version, self._services)
            if socket.admitted_with is not None:
                self._passes[handler] = socket.admitted_with
            try:
                await self._run(handler, socket)
            finally:
                self._passes.pop(handler, None)

    def _contact_of(self, identity: DeviceIdentity, socket: ServerConnection, request: Request) -> DeviceContact:
        address = socket.remote_address
        peer = str(address[0]) if isinstance(address, tuple) and address else None
        return DeviceContact(
            device_id=identity.device_id,
            client_id=identity.client_id,
            remote_address=self._proxies.origin(peer, request.headers.get_all).address,
            user_agent=identity.user_agent,
            language=identity.language,
        )

    async def _run(self, handler: ConnectionHandler, socket: DeviceSocket) -> None:
        """The new connection wins: after a lost network the old one only looks alive."""
        earlier = self._holder_of(handler.device_id)
        seat = self._by_device[handler.device_id] = _Seat(socket, handler)
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
            if self._by_device.get(handler.device_id) is seat:
                del self._by_device[handler.device_id]
                self._squabbles.forget(handler.device_id)


def _identity_of(request: Request) -> DeviceIdentity | None:
    def header(name: str) -> str | None:
        values = request.headers.get_all(name)
        return _as_utf8(values[0]) if values else None

    return identify(header, request.path)


def _as_utf8(value: str) -> str:
    """The library reads headers as ISO 8859-1, which keeps the bytes; what is not ASCII was written as UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _visitor(socket: ServerConnection) -> DeviceSocket:
    if not isinstance(socket, DeviceSocket):
        raise TypeError("a socket of ours")
    return socket


def _later(socket: ServerConnection, status: HTTPStatus, text: str) -> Response:
    response = socket.respond(status, text)
    response.headers["Retry-After"] = RETRY_AFTER_S
    return response


async def _closes_within(server: Server, deadline_s: float) -> bool:
    try:
        async with asyncio.timeout(deadline_s):
            await server.wait_closed()
    except TimeoutError:
        return False
    return True

"""The HTTP port: one aiohttp application over the handlers it is given. It knows none of them."""

import asyncio
import ssl
from collections.abc import Iterable

from aiohttp import web

from ..core.bounds import OnBound, Porch
from ..core.tls_entrance import TlsEntrance

MAX_REQUEST_BYTES = 256 * 1024
SHUTDOWN_S = 2.0
TLS_HANDSHAKE_S = 10.0
LINGER_S = 1.0  # for the rest of a body that was not read


class HttpServer:
    """`on_bound` hears of every connection that was cut off because there were more than `max_connections`.

    With `tls` as many again may be at their handshake.
    """

    def __init__(
        self,
        host: str,
        port: int,
        routes: Iterable[web.RouteDef],
        tls: ssl.SSLContext | None = None,
        *,
        max_connections: int = 500,
        on_bound: OnBound = lambda _: None,
    ) -> None:
        self._max_connections = max_connections
        self._on_bound = on_bound
        self._listener: asyncio.Server | None = None
        self._host = host
        self._port = port
        self._tls_entrance = (
            None
            if tls is None
            else TlsEntrance(
                tls,
                Porch(max_connections, "max_http_connections", on_bound),
                handshake_s=TLS_HANDSHAKE_S,
                shutdown_s=SHUTDOWN_S,
            )
        )
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.add_routes(list(routes))
        # Access lines would carry addresses and query strings; the handlers log what matters.
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S, lingering_time=LINGER_S
        )

    async def start(self) -> int:
        """Listen; the answer is the port, which differs from the asked one where that was 0."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._enter, self._host, self._port, backlog=1024)
        except OSError:
            await self._runner.cleanup()
            raise
        return int(self._listener.sockets[0].getsockname()[1])

    def _enter(self) -> asyncio.Protocol:
        return self._accept() if self._tls_entrance is None else self._tls_entrance.take(self._accept)

    def _accept(self) -> asyncio.Protocol:
        """aiohttp waits without end for a request: where too many wait, the oldest goes. Honest requests are short."""
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= self._max_connections:
            transports = (handler.transport for handler in server.connections)
            oldest = next((transport for transport in transports if transport and not transport.is_closing()), None)
            if oldest is not None:
                oldest.abort()
                self._on_bound("max_http_connections")
        return server()

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._tls_entrance is not None:
            await self._tls_entrance.close()
        await self._runner.cleanup()

"""The HTTP port: one aiohttp application over the handlers it is given. It knows none of them."""

from collections.abc import Iterable

from aiohttp import web

MAX_REQUEST_BYTES = 256 * 1024
SHUTDOWN_S = 2.0
LINGER_S = 1.0  # for the rest of a body that was not read


class HttpServer:
    def __init__(self, host: str, port: int, routes: Iterable[web.RouteDef]) -> None:
        self._host = host
        self._port = port
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        application.add_routes(list(routes))
        # Access lines would carry addresses and query strings; the handlers log what matters.
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S, lingering_time=LINGER_S
        )

    async def start(self) -> int:
        """Listen; the answer is the port, which differs from the asked one where that was 0."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        addresses = self._runner.addresses
        return int(addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

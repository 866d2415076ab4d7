"""The way in on a port with TLS, where each connection is counted from its first moment. The event loop's own way shows
one only when its handshake is over: who never begins it would be counted nowhere. Knows nothing of what follows.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

from loguru import logger

from .bounds import Porch

MakeProtocol = Callable[[], asyncio.Protocol]


class TlsEntrance:
    """Give what `take` makes to `create_server`, and give that no `ssl` of its own."""

    def __init__(self, context: ssl.SSLContext, porch: Porch, *, handshake_s: float, shutdown_s: float) -> None:
        self._context = context
        self._porch = porch
        self._handshake_s = handshake_s
        self._shutdown_s = shutdown_s
        self._at_it: dict[asyncio.Task[None], _Newcomer] = {}

    def take(self, make_protocol: MakeProtocol) -> asyncio.Protocol:
        """The protocol of one TCP connection. `make_protocol` is asked when its handshake has succeeded."""
        return _Accepted(partial(self._begin, make_protocol))

    async def close(self) -> None:
        """Cut off those that are still at it."""
        for newcomer in self._at_it.values():
            newcomer.abort()
        await asyncio.gather(*self._at_it, return_exceptions=True)

    def _begin(self, make_protocol: MakeProtocol, plain: socket.socket) -> None:
        newcomer = _Newcomer(plain)
        secured = _Secured(partial(self._porch.gone, newcomer), make_protocol)
        task = asyncio.get_running_loop().create_task(self._shake_hands(plain, secured), name="TLS handshake")
        self._at_it[task] = newcomer
        task.add_done_callback(self._over)
        self._porch.knock(newcomer)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._porch.gone(self._at_it.pop(task))

    async def _shake_hands(self, plain: socket.socket, secured: "_Secured") -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: secured,
                plain,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=self._shutdown_s,
            )
        except OSError as error:
            logger.debug("no TLS handshake: {}", type(error).__name__)
            plain.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Newcomer:
    plain: socket.socket

    def abort(self) -> None:
        """Its handshake sees the end of TCP and fails, whether it has begun or not."""
        with contextlib.suppress(OSError):
            self.plain.shutdown(socket.SHUT_RDWR)


class _Accepted(asyncio.Protocol):
    """Takes the socket over at once. The loop's own transport has read nothing from it and may go: a handshake cannot
    be begun on one that already reads, and not every loop can be told to wait.
    """

    def __init__(self, begin: Callable[[socket.socket], None]) -> None:
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        try:
            self._begin(transport.get_extra_info("socket").dup())
        except OSError as error:
            logger.warning("a connection cannot be taken: {}", error.strerror)
        finally:
            cast(asyncio.WriteTransport, transport).abort()


class _Secured(asyncio.Protocol):
    """The end of a handshake: the real protocol is made and takes over, before anything is read."""

    def __init__(self, go_in: Callable[[], None], make_protocol: MakeProtocol) -> None:
        self._go_in = go_in
        self._make_protocol = make_protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._go_in()
        protocol = self._make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

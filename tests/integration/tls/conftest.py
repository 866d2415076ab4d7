"""The two loops begin a handshake each in its own way: uvloop's, which the server uses, and asyncio's."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop

# The first loop opens a pair of pipes for the whole process; a test that did so would seem to leak them.
uvloop.new_event_loop().close()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}

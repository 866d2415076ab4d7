"""Bounds are held by the transports, and the server's are uvloop's: these tests run on its loop."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop

# The first loop opens a pair of pipes for the whole process; a test that did so would seem to leak them.
uvloop.new_event_loop().close()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}

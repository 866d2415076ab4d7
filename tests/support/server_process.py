"""The real server as its own process, started the way a person starts it, on free ports of the loopback."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from types import TracebackType

START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
OTA_LINE = re.compile(r"(http://127\.0\.0\.1:(\d+)/xiaozhi/ota/)")
WEBSOCKET_LINE = re.compile(r"(ws://127\.0\.0\.1:(\d+)/xiaozhi/v1/)")
# For tests of what is remembered, on a machine that may have other things to do: how quickly is for the bench to say.
PATIENT = {"XIAOZHI__MEMORY__RECALL_DEADLINE_MS": "5000"}
PROJECT = Path(__file__).resolve().parents[2]


class ServerProcess:
    """`async with ServerProcess(folder) as server: server.ota_url`. The same folder again is the same memory."""

    def __init__(self, folder: Path, *, preset: str | None = None, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.ota_url = ""
        self.websocket_url = ""
        self.output: list[str] = []
        self._preset = preset
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._line_came = asyncio.Event()

    @property
    def process(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the server was not started"
        return self._process

    @property
    def log(self) -> str:
        return (self.folder / "log" / "server.log").read_text()

    async def start(self) -> "ServerProcess":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "xiaozhi_server", "serve",
            "--data-dir", str(self.folder / "data"), "--port", "0", "--http-port", "0",
            *(("--preset", self._preset) if self._preset else ()),
            cwd=PROJECT, env=self._child_environment(), start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read_output())
        try:
            self.websocket_url = await self._find(WEBSOCKET_LINE)
            self.ota_url = await self._find(OTA_LINE)
        except BaseException:
            await self.kill()
            raise
        return self

    async def terminate(self) -> int:
        """SIGTERM, as systemd or a person would; the answer is the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(STOP_LIMIT_S):
            code = await self.process.wait()
        await self._finish_reading()
        return code

    async def kill(self) -> None:
        """kill -9: nothing in the server gets a chance to run."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._finish_reading()

    async def wait_for_line(self, pattern: str) -> str:
        return await self._find(re.compile(f"({pattern})"))

    async def __aenter__(self) -> "ServerProcess":
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            code = await self.terminate()
            assert code == 0 or error is not None, f"the server ended with {code}:\n{self.text}"

    @property
    def text(self) -> str:
        return "".join(self.output)

    async def _find(self, pattern: re.Pattern[str]) -> str:
        async with asyncio.timeout(START_LIMIT_S):
            while (found := pattern.search(self.text)) is None:
                if self._reader is None or self._reader.done():
                    raise AssertionError(f"the server ended without saying {pattern.pattern!r}:\n{self.text}")
                self._line_came.clear()
                await self._line_came.wait()
        return found[1]

    async def _read_output(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.output.append(line.decode(errors="replace"))
            self._line_came.set()
        self._line_came.set()

    async def _finish_reading(self) -> None:
        if self._reader is not None:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self._reader

    def _child_environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("XIAOZHI")}
        inherited.pop("OPENAI_API_KEY", None)
        return {
            **inherited,
            "PYTHONUNBUFFERED": "1",
            "XIAOZHI__SERVER__IP": "127.0.0.1",
            "XIAOZHI__LOG__LOG_DIR": str(self.folder / "log"),
            **self._environment,
        }

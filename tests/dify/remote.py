"""Stands in for a daemon that a plugin is debugged against: the plugin connects to it, says what it is, and works."""

import base64
import json
import socket
import threading
from pathlib import Path

from tests.dify.daemon import READY_LIMIT_S, Json, PluginProcess

KEY = "debugging-key-0123456789"
_LARGEST_CHUNK = 8 * 1024


class RemotePlugin(PluginProcess):
    """`declared` is what it said of itself before it was ready, `assets` the files that it sent along."""

    def __init__(self, python: Path, folder: Path, data: Path) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(READY_LIMIT_S)
        host, port = self._server.getsockname()
        told = {"INSTALL_METHOD": "remote", "REMOTE_INSTALL_URL": f"{host}:{port}", "REMOTE_INSTALL_KEY": KEY}
        super().__init__(python, folder, data, **told)
        self.declared: list[Json] = []
        self._connection: socket.socket | None = None

    @property
    def assets(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for one in self.declared:
            if one["type"] == "asset_chunk":
                data = base64.b64decode(one["data"]["data"])
                assert len(data) <= _LARGEST_CHUNK
                found[one["data"]["filename"]] = found.get(one["data"]["filename"], b"") + data
        return found

    def start(self) -> None:
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        super().start()

    def send(self, line: str) -> None:
        assert self._connection is not None
        with self._writing:
            self._connection.sendall(line.encode() + b"\n")

    def kill(self) -> None:
        super().kill()
        self._listener.join()
        self._server.close()

    def _listen(self) -> None:
        try:
            self._connection, _ = self._server.accept()
        except TimeoutError:
            return
        with self._connection, self._connection.makefile("rb") as lines:
            for raw in lines:
                if not raw.strip():
                    continue
                with self._came:
                    self._hear(raw.decode())
                    self._came.notify_all()

    def _hear(self, line: str) -> None:
        """What it declares has a `type`; what comes afterwards is as on stdout."""
        self.lines.append(line)
        told = json.loads(line)
        if "type" in told and "event" not in told:
            self.declared.append(told)
        else:
            self._take(line)

"""Firmware files in `data/bin/`, named `<board>_<dotted version>.bin`, offered to the boards they are named for."""

import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

FILE_NAME = re.compile(r"(?P<board>[A-Za-z0-9][A-Za-z0-9.-]{0,80})_(?P<version>[0-9]{1,6}(\.[0-9]{1,6}){0,5})\.bin")
DOWNLOAD_PATH = "/xiaozhi/ota/download"


@dataclass(frozen=True, slots=True)
class Firmware:
    path: Path
    board: str
    version: str


def version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class FirmwareShelf:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newer_than(self, installed: str, board: str | None) -> Firmware | None:
        """The newest file for this board, if it is newer than what the device runs."""
        fitting = [found for found in self._files() if found.board == board]
        newest = max(fitting, key=lambda found: version_key(found.version), default=None)
        if newest is None or version_key(newest.version) <= version_key(installed):
            return None
        return newest

    def path_of(self, firmware: Firmware) -> str:
        return f"{DOWNLOAD_PATH}/{firmware.path.name}"

    def routes(self) -> list[web.RouteDef]:
        return [web.get(f"{DOWNLOAD_PATH}/{{name}}", self.download)]

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Only names that are on the shelf are served, so no path can lead elsewhere."""
        name = request.match_info["name"]
        for firmware in self._files():
            if firmware.path.name == name:
                return web.FileResponse(firmware.path, headers={"Content-Type": "application/octet-stream"})
        return web.json_response({"error": "There is no such firmware file."}, status=404)

    def _files(self) -> list[Firmware]:
        """An empty file is passed over: a device that was sent to one would fail and alarm."""
        if not self._folder.is_dir():
            return []
        found = []
        for path in self._folder.iterdir():
            named = FILE_NAME.fullmatch(path.name)
            if named is not None and path.is_file() and not path.is_symlink() and path.stat().st_size > 0:
                found.append(Firmware(path, named["board"], named["version"]))
        return found

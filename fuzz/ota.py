"""`python -m fuzz.ota`: bytes as a request to the OTA address: Host, board of the shelf or not, then the body."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["xiaozhi_server.http.ota", "xiaozhi_server.http.firmware"]):
    from tests.fuzz.promises import keep_ota_promise

SHELF = Path(tempfile.mkdtemp(prefix="fuzz-firmware-"))
(SHELF / "lamp_9.9.9.bin").touch()


def one_input(data: bytes) -> None:
    host, _, rest = data.partition(b"\n")
    name, _, body = rest.partition(b"\n")
    headers = [("Host", _header(host)), ("Device-Id", _header(name)), ("User-Agent", _header(name))]
    keep_ota_promise(headers, body, SHELF)


def _header(value: bytes) -> str:
    """As the HTTP reader hands it on: without line ends, strange bytes as half characters."""
    return value.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

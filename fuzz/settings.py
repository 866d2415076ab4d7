"""`python -m fuzz.settings`: bytes as a settings file. A crash file is one such file."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["xiaozhi_server.settings"]):
    from tests.fuzz.promises import keep_settings_promise

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-settings-"))


def one_input(data: bytes) -> None:
    keep_settings_promise(data.decode("utf-8", "surrogateescape"), FOLDER)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

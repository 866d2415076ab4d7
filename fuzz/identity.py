"""`python -m fuzz.identity`: bytes as the headers and the path of an upgrade request, a line for each."""

import sys

import atheris

with atheris.instrument_imports(include=["xiaozhi_server.core.identity", "urllib.parse"]):
    from tests.fuzz.promises import keep_identity_promise

NAMES = ("Device-Id", "Client-Id", "Protocol-Version", "User-Agent", "Accept-Language", "Authorization")


def one_input(data: bytes) -> None:
    path, *values = data.decode("utf-8", "surrogateescape").split("\n")
    keep_identity_promise(dict(zip(NAMES, values, strict=False)), path)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

"""`python -m fuzz.messages`: bytes as the text of a device, and as what is shown on it. A crash file is a text."""

import sys

import atheris

with atheris.instrument_imports(include=["xiaozhi_server.core.wire", "json"]):
    from tests.fuzz.promises import keep_message_promise, keep_shown_promise


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    keep_message_promise(text)
    keep_shown_promise(text)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

"""`python -m fuzz.frames`: bytes as the binary frames of one connection, and as Opus packets.

The first byte is the announced version; each frame has two bytes of length before it.
"""

import sys

import atheris

with atheris.instrument_imports(include=["xiaozhi_server.core.wire", "xiaozhi_server.core.audio.opus"]):
    from tests.fuzz.promises import keep_frames_promise, keep_opus_promise


def one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    version = provider.ConsumeIntInRange(0, 9)
    frames: list[bytes] = []
    while provider.remaining_bytes():
        frames.append(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 5_000)))
    keep_frames_promise(version, frames)
    keep_opus_promise(frames)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

"""Texts, frames and packets of any device, honest or not: read or refused, never an exception."""

import json
import struct
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.promises import (
    keep_frames_promise,
    keep_message_promise,
    keep_opus_promise,
    keep_shown_promise,
)

EXAMPLES = settings(max_examples=300, deadline=None)

ODD_TEXT = st.text(max_size=40) | st.sampled_from(["\0", "\ud800", "\u2028", "\x7f\x1b[31m", '"\\', "𝕏" * 5000])
ODD_NUMBER = st.integers() | st.floats() | st.sampled_from([10**300, -1, 2**31, float("inf")])
JSON = st.recursive(
    st.none() | st.booleans() | ODD_NUMBER | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
WORDS = ["start", "stop", "detect", "auto", "manual", "realtime", "opus", "hello", "wake_word_detected"]
FIELDS = st.dictionaries(
    st.sampled_from(
        ["state", "mode", "text", "reason", "payload", "features", "audio_params", "version", "session_id", "transport"]
    ),
    JSON | st.sampled_from(WORDS) | st.dictionaries(st.sampled_from(["format", "sample_rate", "mcp"]), JSON),
)
TYPES = st.sampled_from(["hello", "listen", "abort", "mcp", "iot", "ping", "goodbye", "other"])
BYTES = st.binary(max_size=200)


@EXAMPLES
@given(st.text())
@example("[" * 60_000)
@example('{"type":' * 20_000)
@example('{"type":"listen","state":"detect","text":"' + "a" * 70_000 + '"}')
@example('{"type":"hello","version":' + "9" * 5_000 + "}")
@example('{"type":"mcp","payload":{"x":1e999}}')
@example('{"type":"mcp","payload":"{\\"x\\":\\"\\\\ud800\\"}"}')
@example('{"type":"listen","state":"detect","text":"say "hi" to me"}')
def test_any_text_keeps_the_promise(text: str) -> None:
    keep_message_promise(text)


@EXAMPLES
@given(TYPES | JSON, FIELDS, st.booleans())
@example("\ud800", {}, False)
@example("listen", {"state": "detect", "text": "\ud800"}, False)
def test_any_message_keeps_the_promise(kind: Any, fields: dict[str, Any], escaped: bool) -> None:
    keep_message_promise(json.dumps({**fields, "type": kind}, ensure_ascii=escaped))


@EXAMPLES
@given(TYPES, FIELDS, st.data())
def test_a_damaged_message_keeps_the_promise(kind: str, fields: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps({"type": kind, **fields})
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    keep_message_promise(text[:start] + data.draw(st.text(max_size=4)) + text[end:])


@EXAMPLES
@given(ODD_TEXT)
def test_whatever_is_shown_fits_into_a_device(text: str) -> None:
    keep_shown_promise(text)


def _v2(version: int, kind: int, timestamp_ms: int, size: int, packet: bytes) -> bytes:
    return struct.pack(">HHIII", version, kind, 0, timestamp_ms, size) + packet


def _v3(kind: int, size: int, packet: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, size) + packet


SIZES = st.integers(0, 200) | st.sampled_from([0, 0xFFFF])
FRAMES = (
    BYTES
    | st.builds(_v2, st.sampled_from([2, 2, 2, 3]), st.integers(0, 2), st.integers(0, 2**32 - 1), SIZES, BYTES)
    | BYTES.map(lambda packet: _v2(2, 0, 7, len(packet), packet))
    | st.builds(_v3, st.integers(0, 2), SIZES, BYTES)
    | BYTES.map(lambda packet: _v3(0, len(packet), packet))
    | st.integers(4_090, 4_120).map(bytes)
)


@EXAMPLES
@given(st.integers(-1, 9), st.lists(FRAMES, max_size=8))
def test_any_frames_keep_the_promise(version: int, frames: list[bytes]) -> None:
    keep_frames_promise(version, frames)


@settings(max_examples=100, deadline=None)
@given(st.lists(BYTES | st.binary(min_size=1, max_size=3) | st.integers(1, 4_096).map(bytes), max_size=6))
def test_any_packets_are_sound_or_nothing(packets: list[bytes]) -> None:
    keep_opus_promise(packets)

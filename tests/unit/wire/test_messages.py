"""Whatever a device writes is read or refused without an exception; whatever we write is exact, small and ASCII."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.wire import messages
from xiaozhi_server.core.wire.messages import (
    Abort,
    AudioParams,
    Goodbye,
    Hello,
    Iot,
    Listen,
    Mcp,
    Ping,
    Unknown,
    Unusable,
    parse_device_message,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELD = st.sampled_from(
    ["type", "state", "mode", "text", "reason", "payload", "features", "audio_params", "version", "session_id"]
)
TYPE = st.sampled_from(["hello", "listen", "abort", "mcp", "iot", "ping", "goodbye", "other"])
FIRMWARE_HELLO = """{"type":"hello","version":3,"features":{"aec":false,"mcp":true,"glyph_push":true},
 "text_font":{"bundle":"noto-v1","charset":"common","size":20,"bpp":4},"transport":"websocket",
 "audio_params":{"format":"opus","sample_rate":16000,"channels":1,"frame_duration":20}}"""


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    parse_device_message(text)


@given(st.dictionaries(FIELD, JSON), TYPE)
def test_any_fields_of_a_known_type_are_read_or_refused(fields: dict[str, Any], kind: str) -> None:
    message = parse_device_message(json.dumps({**fields, "type": kind}))
    if isinstance(message, Listen | Abort):
        json.dumps(message.text if isinstance(message, Listen) else message.reason, ensure_ascii=False).encode()


def test_firmware_hello() -> None:
    assert parse_device_message(FIRMWARE_HELLO) == Hello(
        version=3, features=frozenset({"mcp", "glyph_push"}), audio=AudioParams("opus", 16_000, 20)
    )


def test_browser_hello_means_the_defaults() -> None:
    message = parse_device_message('{"type":"hello","device_id":"x","token":"t","features":{"mcp":true,"emoji":true}}')
    assert message == Hello(None, frozenset({"mcp", "emoji"}), AudioParams())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"session_id":"","type":"listen","state":"start","mode":"manual"}', Listen("start", "manual", "")),
        ('{"type":"listen","state":"start"}', Listen("start", "auto", "")),
        ('{"type":"listen","state":"start","mode":"sideways"}', Listen("start", "auto", "")),
        ('{"type":"listen","state":"start","mode":["auto"]}', Listen("start", "auto", "")),
        ('{"type":"listen","state":"stop"}', Listen("stop", "auto", "")),
        ('{"type":"listen","state":"detect","text":" 你好，小智！\\u0000 "}', Listen("detect", "auto", "你好，小智！")),
        ('{"type":"listen","state":"detect","text":"half \\ud83d"}', Listen("detect", "auto", "half ?")),
        ('{"type":"listen","state":"detect","text":"\\ud83d\\ude00"}', Listen("detect", "auto", "😀")),
        ('{"type":"listen","state":"detect"}', Listen("detect", "auto", "")),
        ('{"type":"abort"}', Abort(None)),
        ('{"type":"abort","reason":"wake_word_detected"}', Abort("wake_word_detected")),
        ('{"type":"abort","reason":7}', Abort(None)),
        ('{"type":"mcp","payload":{"id":1}}', Mcp({"id": 1})),
        ('{"type":"mcp","payload":"{\\"id\\":1}"}', Mcp({"id": 1})),
        ('{"type":"iot","update":true,"states":[]}', Iot()),
        ('{"type":"ping"}', Ping()),
        ('{"type":"goodbye","session_id":"x"}', Goodbye()),
        ('{"type":"glyph"}', Unknown("glyph")),
    ],
)
def test_what_devices_send(text: str, expected: object) -> None:
    assert parse_device_message(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        "null",
        "NaN",
        "not json",
        "{}",
        '{"type":null}',
        '{"type":"listen"}',
        '{"type":"listen","state":"dance"}',
        '{"type":"listen","state":{}}',
        '{"type":"listen","state":"detect","text":"say "hi""}',
        '{"type":"mcp"}',
        '{"type":"mcp","payload":[1]}',
        '{"type":"mcp","payload":"no json"}',
        '{"type":"hello","version":NaN}',
        '{"type":"iot","x":' + "[" * 100 + "]" * 100 + "}",
        '{"type":"iot","x":[' + '"]",[' * 40 + "]" * 41 + "}",
        "[" * 60_000,
        '{"type":"iot","x":' + "9" * 5000 + "}",
        '{"type":"ping","x":"' + "y" * 70_000 + '"}',
    ],
)
def test_what_cannot_be_used_is_named(text: str) -> None:
    assert isinstance(parse_device_message(text), Unusable)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 33 + '"' + '\\"' * 32_000,
        '{"a":' * 33 + '"\\' * 20_000,
        '{"type":"iot","x":' + "[" * 16_000 + "]" * 16_000 + "}",
    ],
)
def test_a_hostile_text_costs_no_time(text: str) -> None:
    began_at = time.process_time()
    assert isinstance(parse_device_message(text), Unusable)
    assert time.process_time() - began_at < 1


@pytest.mark.parametrize(("levels", "usable"), [(31, True), (32, False)])
def test_nesting_has_a_limit(levels: int, usable: bool) -> None:
    text = '{"type":"ping","x":' + "[" * levels + "1,2" + "]" * levels + ',"y":[[],[],{}]}'
    assert (parse_device_message(text) == Ping()) is usable


def test_brackets_in_strings_are_no_nesting() -> None:
    assert parse_device_message(json.dumps({"type": "ping", "x": "[" * 200})) == Ping()


def test_typed_text_is_bounded() -> None:
    message = parse_device_message(json.dumps({"type": "listen", "state": "detect", "text": "a" * 60_000}))
    assert isinstance(message, Listen)
    assert len(message.text) == messages.MAX_TYPED_CHARS


@given(st.text(alphabet=st.characters(), max_size=2000) | st.just("\ud83d\x00" * 900))
def test_what_we_write_is_small_exact_ascii(text: str) -> None:
    for message in (
        messages.stt("s-1", text),
        messages.llm_emotion("s-1", "happy", text),
        messages.tts_sentence("s-1", text),
    ):
        assert message.isascii()
        assert len(message) < 8192
        fields = json.loads(message)
        assert fields["session_id"] == "s-1"
        assert "\0" not in fields["text"]
        fields["text"].encode()


@pytest.mark.parametrize("text", ["好" * 5000, "😀" * 5000, "a" * 50_000, '"' * 5000])
def test_a_long_text_stays_below_eight_kibibytes(text: str) -> None:
    message = messages.stt("s" * 36, text)
    assert len(message) < 8192
    assert text.startswith(json.loads(message)["text"])


def test_server_messages() -> None:
    assert json.loads(messages.hello("s", 24_000, 60)) == {
        "type": "hello",
        "transport": "websocket",
        "session_id": "s",
        "audio_params": {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60},
    }
    assert json.loads(messages.tts_start("s")) == {"type": "tts", "state": "start", "session_id": "s"}
    assert json.loads(messages.tts_stop("s")) == {"type": "tts", "state": "stop", "session_id": "s"}
    assert json.loads(messages.tts_sentence("s", 'He said "hi"'))["text"] == 'He said "hi"'
    assert json.loads(messages.alert("s", "a", "b", "sad")) == {
        "type": "alert",
        "status": "a",
        "message": "b",
        "emotion": "sad",
        "session_id": "s",
    }
    assert json.loads(messages.mcp("s", {"id": 1}))["payload"] == {"id": 1}
    assert json.loads(messages.pong("s")) == {"type": "pong", "session_id": "s"}

"""What server and device say to each other in JSON: reading is tolerant and never raises, writing is exact.

Knows nothing of sockets or of what a message leads to.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

MAX_MESSAGE_CHARS = 65_536
MAX_DEPTH = 32
MAX_TYPED_CHARS = 4_000
# Small chips keep several copies of a text frame: stay well below 8 KiB even when every character is escaped.
MAX_SHOWN_CHARS = 1_000
MAX_QUOTED_CHARS = 7_000

ListenMode = Literal["auto", "manual", "realtime"]
ListenState = Literal["start", "stop", "detect"]

_Choice = TypeVar("_Choice", bound=str)

_MODES: dict[object, ListenMode] = {"auto": "auto", "manual": "manual", "realtime": "realtime"}
_STATES: dict[object, ListenState] = {"start": "start", "stop": "stop", "detect": "detect"}


@dataclass(frozen=True, slots=True)
class AudioParams:
    """How a device sends its sound. Browsers leave it out and mean these values."""

    format: str = "opus"
    sample_rate: int = 16_000
    frame_ms: int = 60


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message. `features` holds the names of those that are switched on."""

    version: int | None
    features: frozenset[str]
    audio: AudioParams


@dataclass(frozen=True, slots=True)
class Listen:
    """`mode` matters for start, `text` for detect; an unknown mode is auto."""

    state: ListenState
    mode: ListenMode
    text: str


@dataclass(frozen=True, slots=True)
class Abort:
    reason: str | None


@dataclass(frozen=True, slots=True)
class Mcp:
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Iot:
    """Legacy device descriptions. Accepted, never used."""


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Goodbye:
    pass


@dataclass(frozen=True, slots=True)
class Unknown:
    """A well-formed message of a type that we do not know."""

    type: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """What came cannot be used. `reason` is for the log and quotes nothing that was sent."""

    reason: str


DeviceMessage: TypeAlias = Hello | Listen | Abort | Mcp | Iot | Ping | Goodbye | Unknown


def parse_device_message(text: str) -> DeviceMessage | Unusable:
    """Read one text frame. Whatever it holds, this returns."""
    if len(text) > MAX_MESSAGE_CHARS:
        return Unusable("too long")
    fields = _load(text)
    if isinstance(fields, Unusable):
        return fields
    kind = fields.get("type")
    if not isinstance(kind, str):
        return Unusable("no type")
    reader = _READERS.get(kind)
    return reader(fields) if reader else Unknown(_clean(kind)[:32])


def _load(text: str) -> dict[str, Any] | Unusable:
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return Unusable("not JSON")
    if not isinstance(value, dict):
        return Unusable("not an object")
    if _may_be_deep(text) and _is_deep(value):
        return Unusable("nested too deep")
    return value if text.isascii() and "\\u" not in text else _without_lone_surrogates(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    """1e999 is well-formed and reads as infinity, which no JSON could say again."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("infinity")
    return value


def _may_be_deep(text: str) -> bool:
    return text.count("[") + text.count("{") > MAX_DEPTH


def _is_deep(value: dict[str, Any]) -> bool:
    """Level by level: a hostile text must cost neither the stack nor more than one look at each value."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _values_of(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _values_of(container: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _without_lone_surrogates(value: dict[str, Any]) -> dict[str, Any]:
    """Half of a surrogate pair is legal JSON, but no text: nothing behind us could encode it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        cleaned: dict[str, Any] = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        return cleaned
    return value


def _clean(text: str) -> str:
    """Text for people: control characters become spaces (a database refuses NUL, a log is torn by line breaks)."""
    return "".join(character if character >= " " and character != "\x7f" else " " for character in text).strip()


def _whole_number(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _read_hello(fields: dict[str, Any]) -> Hello:
    features = fields.get("features")
    version = _whole_number(fields.get("version"), 0)
    return Hello(
        version=version or None,
        features=frozenset(name for name, on in features.items() if on is True)
        if isinstance(features, dict)
        else frozenset(),
        audio=_read_audio(fields.get("audio_params")),
    )


def _read_audio(value: object) -> AudioParams:
    if not isinstance(value, dict):
        return AudioParams()
    audio_format = value.get("format")
    return AudioParams(
        format=audio_format[:16] if isinstance(audio_format, str) else "opus",
        sample_rate=_whole_number(value.get("sample_rate"), 16_000),
        frame_ms=_whole_number(value.get("frame_duration"), 60),
    )


def _read_listen(fields: dict[str, Any]) -> Listen | Unusable:
    state = _chosen(_STATES, fields.get("state"))
    if state is None:
        return Unusable("listen without a known state")
    text = fields.get("text")
    return Listen(
        state=state,
        mode=_chosen(_MODES, fields.get("mode")) or "auto",
        text=_clean(text[:MAX_TYPED_CHARS]) if isinstance(text, str) else "",
    )


def _chosen(choices: dict[object, _Choice], value: object) -> _Choice | None:
    return choices.get(value) if isinstance(value, str) else None


def _read_abort(fields: dict[str, Any]) -> Abort:
    reason = fields.get("reason")
    return Abort(_clean(reason[:64]) if isinstance(reason, str) else None)


def _read_mcp(fields: dict[str, Any]) -> Mcp | Unusable:
    payload = fields.get("payload")
    if isinstance(payload, str):
        payload = _load(payload)
    if isinstance(payload, Unusable):
        return payload
    return Mcp(payload) if isinstance(payload, dict) else Unusable("mcp without a payload")


_READERS: dict[str, Callable[[dict[str, Any]], DeviceMessage | Unusable]] = {
    "hello": _read_hello,
    "listen": _read_listen,
    "abort": _read_abort,
    "mcp": _read_mcp,
    "iot": lambda _: Iot(),
    "ping": lambda _: Ping(),
    "goodbye": lambda _: Goodbye(),
}


# What we say. `session_id` is always our own and made of letters, digits and hyphens: devices paste it unescaped.


def hello(session_id: str, sample_rate: int, frame_ms: int) -> str:
    """The answer to a hello. A device that finds no string `transport` in it reboots."""
    return (
        f'{{"type":"hello","transport":"websocket","session_id":"{session_id}","audio_params":'
        f'{{"format":"opus","sample_rate":{sample_rate:d},"channels":1,"frame_duration":{frame_ms:d}}}}}'
    )


def stt(session_id: str, text: str) -> str:
    """What we understood: shown as the person's line."""
    return f'{{"type":"stt","text":{_shown(text)},"session_id":"{session_id}"}}'


def llm_emotion(session_id: str, emotion: str, emoji: str) -> str:
    """The face of the answer. Firmware reads the name, browsers the emoji."""
    return f'{{"type":"llm","emotion":{_shown(emotion)},"text":{_shown(emoji)},"session_id":"{session_id}"}}'


def tts_start(session_id: str) -> str:
    return f'{{"type":"tts","state":"start","session_id":"{session_id}"}}'


def tts_sentence(session_id: str, text: str) -> str:
    return f'{{"type":"tts","state":"sentence_start","text":{_shown(text)},"session_id":"{session_id}"}}'


def tts_stop(session_id: str) -> str:
    return f'{{"type":"tts","state":"stop","session_id":"{session_id}"}}'


def alert(session_id: str, status: str, message: str, emotion: str) -> str:
    return (
        f'{{"type":"alert","status":{_shown(status)},"message":{_shown(message)},'
        f'"emotion":{_shown(emotion)},"session_id":"{session_id}"}}'
    )


def mcp(session_id: str, payload: Mapping[str, Any]) -> str:
    body = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    return f'{{"type":"mcp","payload":{body},"session_id":"{session_id}"}}'


def pong(session_id: str) -> str:
    """Answers a ping. Unasked it does nothing, but it shows a device that the channel is alive."""
    return f'{{"type":"pong","session_id":"{session_id}"}}'


def _shown(text: str) -> str:
    """Quoted and in ASCII, without what a C string or a strict JSON reader would stumble over."""
    text = text[:MAX_SHOWN_CHARS].replace("\0", "")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    quoted = json.dumps(text)
    return quoted if len(quoted) <= MAX_QUOTED_CHARS else json.dumps(text[: MAX_QUOTED_CHARS // 12])

"""What holds for anything that comes from outside. Each function feeds one reader and fails where a promise is broken;
hypothesis and atheris both call them, so that the two tools can never disagree about what is right."""

import asyncio
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from xiaozhi_server.core.audio.opus import OpusDecoder, packet_samples
from xiaozhi_server.core.identity import MAX_ID_CHARS, MAX_TEXT_CHARS, DeviceIdentity, identify
from xiaozhi_server.core.ports import DeviceContact
from xiaozhi_server.core.wire import messages
from xiaozhi_server.core.wire.frames import MAX_PACKET_BYTES, AudioFrame, FrameCodec
from xiaozhi_server.core.wire.messages import MAX_TYPED_CHARS, Listen, Mcp, Unusable, parse_device_message
from xiaozhi_server.http.firmware import FirmwareShelf
from xiaozhi_server.http.ota import OtaHandler, OtaOptions
from xiaozhi_server.settings import Files, Settings, SettingsError, load_settings, secrets_of, show, survey_providers
from xiaozhi_server.settings.layers import leaves
from xiaozhi_server.store.text import storable

UNUSABLE_TEXT = {
    "too long",
    "not JSON",
    "not an object",
    "no type",
    "nested too deep",
    "listen without a known state",
    "mcp without a payload",
}
UNUSABLE_FRAME = {
    "oversize audio frame",
    "frame shorter than its header",
    "frame does not match its header",
    "frame is not audio",
}
# What the firmware's HTTP reader can take; one byte more and it waits for ever.
MAX_OTA_BYTES = 8_191
SAFE_ID = re.compile(r"[A-Za-z0-9:._~%-]+")
DOTTED = re.compile(r"[0-9]+(\.[0-9]+)*")
# At most two packets' worth of 120 ms at 16 kHz.
MAX_SAMPLES = 2 * 120 * 16


def keep_message_promise(text: str) -> None:
    """Read or refused for a documented reason; what is read can be stored, logged and sent on."""
    message = parse_device_message(text)
    if isinstance(message, Unusable):
        assert message.reason in UNUSABLE_TEXT, message.reason
        return
    for value in (getattr(message, field.name) for field in fields(message)):
        if isinstance(value, str):
            _check_is_plain(value)
    if isinstance(message, Listen):
        assert len(message.text) <= MAX_TYPED_CHARS
    if isinstance(message, Mcp):
        assert json.loads(messages.mcp("s", message.payload))["payload"] == message.payload


def keep_shown_promise(text: str) -> None:
    """Whatever a model says, the device gets a small JSON text in ASCII."""
    for sent in (messages.stt("s", text), messages.tts_sentence("s", text), messages.alert("s", text, text, text)):
        assert sent.isascii()
        said = json.loads(sent)
        assert not any("\0" in value for value in said.values()), "to a device that is the end of the text"
    assert len(messages.tts_sentence("s", text)) < 8_192


def keep_frames_promise(version: int, frames: Sequence[bytes]) -> None:
    """One connection's binary frames: a packet that could be sent back, or a documented reason."""
    codec = FrameCodec(version)
    for frame in frames:
        before = codec.version
        decoded = codec.decode(frame)
        if isinstance(decoded, Unusable):
            assert decoded.reason in UNUSABLE_FRAME, decoded.reason
            continue
        assert frame.endswith(decoded.packet)
        assert len(decoded.packet) <= MAX_PACKET_BYTES
        assert codec.version == before
        again = FrameCodec(codec.version).decode(codec.encode(decoded.packet, decoded.timestamp_ms))
        assert again == decoded, (again, decoded)
        assert isinstance(again, AudioFrame)


def keep_opus_promise(packets: Iterable[bytes]) -> None:
    """Garbage is sound or nothing, and never more of it than a packet may hold."""
    decoder = OpusDecoder()
    for packet in packets:
        expected = packet_samples(packet)
        assert expected is None or 0 < expected <= MAX_SAMPLES
        sound = decoder.decode(packet)
        assert sound is None or (sound.ndim == 1 and sound.size <= MAX_SAMPLES)


def keep_identity_promise(headers: Mapping[str, str], path: str) -> DeviceIdentity | None:
    """An identity is safe in a path, a log and a database; or there is none."""
    by_name = {name.lower(): value for name, value in headers.items()}
    identity = identify(lambda name: by_name.get(name.lower()), path)
    if identity is None:
        return None
    _check_device_id(identity.device_id)
    assert identity.protocol_version in (1, 2, 3)
    for value in (identity.client_id, identity.user_agent, identity.language):
        if value is not None:
            assert 0 < len(value) <= MAX_TEXT_CHARS
            storable(value, MAX_TEXT_CHARS).encode()
    assert repr(identity) == repr(replace(identity, token=None))
    return identity


def keep_ota_promise(headers: Sequence[tuple[str, str]], body: bytes, firmware: Path) -> None:
    """Whatever is asked, the answer is one that no device stumbles over (sections 1.3, 1.4 and 8 of the contract)."""
    contacts: list[DeviceContact] = []
    handler = OtaHandler(OtaOptions(websocket_port=8000), FirmwareShelf(firmware), contacts.append)
    answer = asyncio.run(_ask(handler, headers, body))
    raw = answer.body
    assert isinstance(raw, bytes)
    assert 0 < len(raw) <= MAX_OTA_BYTES
    document = json.loads(raw)
    assert isinstance(document, dict)
    if answer.status == 400:
        assert set(document) == {"error"}
        return
    assert answer.status == 200
    assert "mqtt" not in document
    _check_url(document["websocket"]["url"], "ws")
    assert urlsplit(document["websocket"]["url"]).port, "always explicit"
    assert all(len(key) <= 15 and len(str(value)) < 4_000 for key, value in document["websocket"].items())
    if "firmware" in document:
        assert DOTTED.fullmatch(document["firmware"]["version"])
        if document["firmware"]["url"]:
            _check_url(document["firmware"]["url"], "http")
    for contact in contacts:
        _check_contact(contact)


async def _ask(handler: OtaHandler, headers: Sequence[tuple[str, str]], body: bytes) -> web.Response:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    encodable = [(name, value.encode("utf-8", "replace").decode()) for name, value in headers]
    request = make_mocked_request("POST", "/xiaozhi/ota/", headers=CIMultiDict(encodable), payload=stream)
    return await handler.answer(request)


def keep_settings_promise(text: str, folder: Path) -> Settings | None:
    """A settings file, over the defaults alone, makes settings or faults of one printable line each."""
    file = folder / "settings.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    overrides = {"data_dir": ("test", str(folder / "none"))}
    return _settings_or_lines(Files(base=folder / "none.yaml", config=file), {}, overrides)


def keep_environment_promise(variables: Mapping[str, str], folder: Path) -> Settings | None:
    overrides = {"data_dir": ("test", str(folder / "none"))}
    return _settings_or_lines(Files(), variables, overrides)


def _settings_or_lines(files: Files, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings | None:
    try:
        settings = load_settings(files, environ=environ, overrides=overrides)
    except SettingsError as error:
        _check_lines(error.lines)
        assert error.lines
        return None
    values = settings.model_dump()
    for path, value in leaves(values):
        show(path[-1], value).encode()
    secrets_of(values)
    _check_lines(settings.notices)
    chosen, faults = survey_providers(settings)
    _check_lines((*chosen.notices, *(str(fault) for fault in faults)))
    return settings


def _check_lines(lines: Iterable[str]) -> None:
    for line in lines:
        line.encode()
        assert "\n" not in line, line


def _check_contact(contact: DeviceContact) -> None:
    _check_device_id(contact.device_id)
    for field in fields(contact):
        value = getattr(contact, field.name)
        if value is not None:
            assert len(value) <= MAX_TEXT_CHARS
            storable(value, MAX_TEXT_CHARS).encode()


def _check_device_id(device_id: str) -> None:
    assert SAFE_ID.fullmatch(device_id), device_id
    assert not device_id.startswith(".")
    assert len(device_id) <= MAX_ID_CHARS


def _check_is_plain(text: str) -> None:
    """A database refuses NUL and half characters, and a log is torn by line breaks."""
    text.encode()
    assert not any(unicodedata.category(character) == "Cc" and character < "\x80" for character in text), text


def _check_url(url: str, scheme: str) -> None:
    """The device takes the first colon behind the scheme for the port's, and digits for granted behind it."""
    rest = url.removeprefix(f"{scheme}://")
    assert rest != url
    assert re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?/[^\s:]*", rest), url
    urlsplit(url).port  # noqa: B018 - ValueError: out of range

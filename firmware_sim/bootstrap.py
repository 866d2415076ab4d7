"""What the device does at boot: the OTA request, what it keeps of the answer, and activation by code.

It knows nothing of the voice channel that follows.
"""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from firmware_sim.errors import BootError, ConnectError, DeviceCrashError
from firmware_sim.http_client import HttpAnswer, post

_MAX_KEY_CHARACTERS = 15
_MAX_VALUE_BYTES = 4000
_SHORTEST_URL = 10
_FIRST_RETRY_S = 10.0
_POLLS = 10
_PENDING_PAUSE_S = 3.0
_REFUSED_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the device says it is."""

    mac: str
    client_id: str
    board: str = "bread-compact-wifi"
    firmware_version: str = "2.4.2"
    language: str = "en-US"
    serial_number: str = ""
    hmac_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Activation:
    code: str
    message: str
    challenge: str


@dataclass(frozen=True, slots=True)
class BootAnswer:
    """One OTA answer, as far as the device reads it."""

    settings: Mapping[str, str | int]
    uses_mqtt: bool
    activation: Activation | None
    firmware_version: str
    firmware_url: str
    upgrade: bool
    server_time_ms: float | None
    timezone_offset_min: float | None
    raw: Mapping[str, Any]


@dataclass(slots=True)
class Storage:
    """The settings that the device keeps over boots; nothing is ever erased by being left out."""

    websocket: dict[str, str | int] = field(default_factory=dict)
    uses_mqtt: bool = False

    def keep(self, answer: BootAnswer) -> None:
        self.uses_mqtt = answer.uses_mqtt
        self.websocket.update(answer.settings)

    def url(self) -> str:
        if self.uses_mqtt:
            raise ConnectError("the OTA answer sent the device to MQTT")
        url = self.websocket.get("url")
        if not isinstance(url, str) or not url:
            raise ConnectError("no websocket address is known: server not connected")
        return url

    def token(self) -> str:
        return str(self.websocket.get("token", ""))

    def version(self) -> int:
        version = self.websocket.get("version", 1)
        return version if isinstance(version, int) and version in (1, 2, 3) else 1


class Bootstrap:
    """The requests of one boot."""

    def __init__(self, ota_url: str, identity: Identity) -> None:
        self._ota_url = ota_url
        self._identity = identity

    async def request(self, attempts: int = 1) -> BootAnswer:
        """Ask the OTA address; a failure is retried after 10, 20, 40 … seconds."""
        pause_s = _FIRST_RETRY_S
        for _ in range(attempts - 1):
            try:
                return await self._request_once()
            except BootError:
                await asyncio.sleep(pause_s)
                pause_s *= 2
        return await self._request_once()

    async def activate(
        self,
        answer: BootAnswer,
        *,
        rounds: int,
        attempts: int = 1,
        announce: Callable[[Activation], None] | None = None,
    ) -> BootAnswer:
        """Announce the code, poll, and ask again until an answer brings no activation any more."""
        for _ in range(rounds):
            if answer.activation is None:
                return answer
            if announce is not None:
                announce(answer.activation)
            await self._poll(answer.activation)
            answer = await self.request(attempts)
        if answer.activation is not None:
            raise BootError(f"not activated; the code is {answer.activation.code}")
        return answer

    async def _request_once(self) -> BootAnswer:
        if len(self._ota_url) < _SHORTEST_URL:
            raise BootError(f"{self._ota_url!r} is too short for an address")
        body = json.dumps(_body(self._identity)).encode()
        return read_answer(await post(self._ota_url, self._headers(), body), self._identity.firmware_version)

    async def _poll(self, activation: Activation) -> None:
        body = json.dumps(activation_body(self._identity, activation.challenge)).encode()
        url = self._ota_url.rstrip("/") + "/activate"
        for _ in range(_POLLS):
            status = await self._poll_once(url, body) if activation.challenge else 0
            if status == 200:
                return
            await asyncio.sleep(_PENDING_PAUSE_S if status == 202 else _REFUSED_PAUSE_S)

    async def _poll_once(self, url: str, body: bytes) -> int:
        """The status; 0 for a server that is away for the moment, which costs no more than a refusal."""
        try:
            return (await post(url, self._headers(), body)).status
        except BootError:
            return 0

    def _headers(self) -> dict[str, str]:
        identity = self._identity
        headers = {
            "Accept-Language": identity.language,
            "Activation-Version": "2" if identity.serial_number else "1",
            "Client-Id": identity.client_id,
            "Content-Type": "application/json",
            "Device-Id": identity.mac,
            "User-Agent": f"{identity.board}/{identity.firmware_version}",
        }
        return headers | ({"Serial-Number": identity.serial_number} if identity.serial_number else {})


def client_id_for(mac: str) -> str:
    """The id that a device keeps: here always the same for an address, so that a device comes back as itself."""
    return str(uuid.UUID(bytes=hashlib.sha256(mac.encode()).digest()[:16], version=4))


def activation_body(identity: Identity, challenge: str) -> dict[str, str]:
    """What goes to `/activate`: nothing, or the signed challenge from a chip with a serial number."""
    if not identity.serial_number:
        return {}
    digest = hmac.new(identity.hmac_key, challenge.encode(), hashlib.sha256).hexdigest() if identity.hmac_key else ""
    return {
        "algorithm": "hmac-sha256",
        "serial_number": identity.serial_number,
        "challenge": challenge,
        "hmac": digest,
    }


def read_answer(answer: HttpAnswer, own_version: str) -> BootAnswer:
    """What the device takes from an OTA answer; what would make real hardware reboot is raised as a crash."""
    if answer.status != 200:
        raise BootError(f"the server answered {answer.status}")
    try:
        raw = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise BootError("the answer is not JSON") from error
    if not isinstance(raw, dict):
        raise BootError("the answer is not a JSON object")
    version, url, upgrade = _firmware(_object(raw, "firmware"), own_version)
    time = _object(raw, "server_time")
    return BootAnswer(
        settings=_settings(_object(raw, "websocket")),
        uses_mqtt=isinstance(raw.get("mqtt"), dict) or not isinstance(raw.get("websocket"), dict),
        activation=_activation(_object(raw, "activation")),
        firmware_version=version,
        firmware_url=url,
        upgrade=upgrade,
        server_time_ms=_number(time.get("timestamp")),
        timezone_offset_min=_number(time.get("timezone_offset")),
        raw=raw,
    )


def _object(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _settings(section: Mapping[str, Any]) -> dict[str, str | int]:
    kept: dict[str, str | int] = {}
    for key, value in section.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        if len(key) > _MAX_KEY_CHARACTERS:
            raise DeviceCrashError(f"the key {key!r} is longer than {_MAX_KEY_CHARACTERS} characters")
        if isinstance(value, str) and len(value.encode()) >= _MAX_VALUE_BYTES:
            raise DeviceCrashError(f"the value of {key!r} is too long to be stored")
        kept[key] = value if isinstance(value, str) else int(value)
    return kept


def _activation(section: Mapping[str, Any]) -> Activation | None:
    code, challenge = section.get("code"), section.get("challenge")
    if not isinstance(code, str) and not isinstance(challenge, str):
        return None
    return Activation(_text(code), _text(section.get("message")), _text(challenge))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _firmware(section: Mapping[str, Any], own_version: str) -> tuple[str, str, bool]:
    version, url = section.get("version"), section.get("url")
    if not isinstance(version, str) or not isinstance(url, str):
        return "", "", False
    forced = _number(section.get("force")) == 1
    return version, url, forced or _version_numbers(version) > _version_numbers(own_version)


def _version_numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError as error:
        raise DeviceCrashError(f"the firmware version {version!r} is not made of dotted numbers") from error


def _body(identity: Identity) -> dict[str, object]:
    board = {
        "type": identity.board,
        "name": identity.board,
        "manufacturer": "simulated",
        "ssid": "simulated",
        "rssi": -50,
        "channel": 6,
        "ip": "127.0.0.1",
        "mac": identity.mac,
    }
    application = {
        "name": "xiaozhi",
        "version": identity.firmware_version,
        "compile_time": "Aug  8 2026T08:00:00Z",
        "idf_version": "v5.5.2",
        "elf_sha256": hashlib.sha256(identity.firmware_version.encode()).hexdigest(),
    }
    return {
        "version": 2,
        "language": identity.language,
        "flash_size": 16_777_216,
        "minimum_free_heap_size": "8318916",
        "mac_address": identity.mac,
        "uuid": identity.client_id,
        "chip_model_name": "esp32s3",
        "chip_info": {"model": 9, "cores": 2, "revision": 2, "features": 18},
        "application": application,
        "partition_table": [{"label": "nvs", "type": 1, "subtype": 2, "address": 36_864, "size": 16_384}],
        "ota": {"label": "ota_0"},
        "display": {"monochrome": False, "width": 240, "height": 240},
        "board": board,
    }

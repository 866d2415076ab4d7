"""What a device asks before it may talk: where the websocket is, what time it is, whether there is newer firmware.

The device reboots, hangs or loops on a wrong answer, so the answer is built from checked pieces only
and stays small. The body of the request may be broken JSON and is never trusted.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from aiohttp import web
from loguru import logger

from ..core.gate import PairingsUnavailableError
from ..core.identity import normalise_device_id, preferred_language
from ..core.ports import DeviceContact
from ..core.proxies import Origin, TrustedProxies
from .firmware import FirmwareShelf

MAX_BODY_BYTES = 64 * 1024
BODY_TIMEOUT_S = 3.0
DEVICE_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,5}")
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "Device-Id, Client-Id, Content-Type, Authorization, Activation-Version",
    "Access-Control-Max-Age": "86400",
}


@dataclass(frozen=True, slots=True)
class OtaOptions:
    websocket_port: int
    websocket_url: str = ""  # the public address; empty: the host that the device used, and our own port
    timezone: str = "UTC"
    protocol_version: int = 1
    tls: bool = False  # whether our own two ports speak it


class TokenIssuer(Protocol):
    async def token_for(self, device_id: str, client_id: str | None) -> str | None:
        """None: this one gets no token. `PairingsUnavailableError`: it cannot be told now."""
        ...


class OtaHandler:
    """`on_contact` hears of every device that may come in; it must return at once. Without `tokens` all may."""

    def __init__(
        self,
        options: OtaOptions,
        firmware: FirmwareShelf,
        on_contact: Callable[[DeviceContact], None],
        tokens: TokenIssuer | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._options = options
        self._firmware = firmware
        self._on_contact = on_contact
        self._tokens = tokens
        self._proxies = proxies or TrustedProxies()
        self._zone = ZoneInfo(options.timezone)

    def routes(self) -> list[web.RouteDef]:
        found: list[web.RouteDef] = []
        for path in ("/xiaozhi/ota", "/xiaozhi/ota/"):
            found += [web.post(path, self.answer), web.get(path, self.answer), web.options(path, self.preflight)]
        for path in ("/xiaozhi/ota/activate", "/xiaozhi/ota/activate/"):
            found += [web.post(path, self.activate), web.options(path, self.preflight)]
        return found

    async def preflight(self, _: web.Request) -> web.Response:
        return web.Response(status=200, headers=CORS)

    async def answer(self, request: web.Request) -> web.Response:
        body = await _body_of(request)
        origin = self._proxies.origin(request.remote, lambda name: request.headers.getall(name, ()))
        contact = _contact_of(request, body, origin)
        url = self._websocket_url(request, origin)
        if contact is None:
            return _refusal(
                "This is an OTA address. A device names itself with the header Device-Id (its MAC address); "
                f"none came with this request. The websocket address is {url}"
            )
        try:
            token = await self._token_for(contact)
        except PairingsUnavailableError:
            return _come_again()
        if token is not None:
            self._on_contact(contact)
        logger.info("OTA: {} asked, firmware {}", contact.device_id, contact.firmware_version or "unknown")
        document: dict[str, Any] = {
            "server_time": self._server_time(),
            "websocket": {"url": url, "token": token or "", "version": self._options.protocol_version},
        }
        firmware = self._firmware_for(request, origin, contact)
        if firmware is not None:
            document["firmware"] = firmware
        return web.json_response(document, headers=CORS)

    async def activate(self, request: web.Request) -> web.Response:
        """No device needs activation yet, so every device that asks is told that it is done."""
        if _device_id_of(request) is None:
            return _refusal("The header Device-Id is missing.")
        return web.json_response({"success": True, "message": "activated"}, headers=CORS)

    async def _token_for(self, contact: DeviceContact) -> str | None:
        if self._tokens is None:
            return ""
        return await self._tokens.token_for(contact.device_id, contact.client_id)

    def _websocket_url(self, request: web.Request, origin: Origin) -> str:
        """Always with an explicit port: the device takes the first colon for one."""
        if self._options.websocket_url:
            return self._options.websocket_url
        tls = origin.scheme == "https" if origin.scheme else self._options.tls
        host, port = _host_of(request), self._options.websocket_port
        if origin.scheme or origin.host:  # a proxy that tells how it was reached has both our ports at that address
            public, public_port = _split_host(origin.host or request.host)
            if HOST_NAME.fullmatch(public):
                host, port = public, public_port or (443 if tls else 80)
        return f"{'wss' if tls else 'ws'}://{host}:{port}/xiaozhi/v1/"

    def _server_time(self) -> dict[str, int]:
        offset = datetime.now(self._zone).utcoffset()
        minutes = int(offset.total_seconds() // 60) if offset is not None else 0
        return {"timestamp": int(time.time() * 1000), "timezone_offset": minutes}

    def _firmware_for(self, request: web.Request, origin: Origin, contact: DeviceContact) -> dict[str, str] | None:
        """A newer file from the shelf, else the device's own version: both are safe, anything else is not sent."""
        installed = contact.firmware_version
        if installed is None:
            return None
        newer = self._firmware.newer_than(installed, contact.board)
        if newer is None:
            return {"version": installed, "url": ""}
        scheme = origin.scheme or ("https" if self._options.tls else "http")
        host = origin.host or request.host
        if not HOST_NAME.fullmatch(_split_host(host)[0]):
            return {"version": installed, "url": ""}  # an address that no device could read: the next request may do
        return {"version": newer.version, "url": f"{scheme}://{host}{self._firmware.path_of(newer)}"}


async def _body_of(request: web.Request) -> Mapping[str, Any]:
    """The body as far as it is a JSON object; real devices send broken ones, in pieces, or none at all."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await _read_up_to(request, MAX_BODY_BYTES)
        parsed = json.loads(raw)
    except Exception as error:  # noqa: BLE001 - an HTTP request: the headers say who it is, the body may be anything
        logger.debug("OTA: a body that cannot be used ({})", type(error).__name__)
        return {}
    return parsed if isinstance(parsed, dict) else {}


async def _read_up_to(request: web.Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) >= limit:
            break
    return bytes(body)


def _contact_of(request: web.Request, body: Mapping[str, Any], origin: Origin) -> DeviceContact | None:
    device_id = _device_id_of(request)
    if device_id is None:
        return None
    return DeviceContact(
        device_id=device_id,
        client_id=_short(request.headers.get("Client-Id")),
        remote_address=origin.address,
        user_agent=_short(request.headers.get("User-Agent")),
        language=preferred_language(request.headers.get("Accept-Language")),
        board=_text_at(body, "board", "type"),
        firmware_version=_dotted(_text_at(body, "application", "version")),
    )


def _device_id_of(request: web.Request) -> str | None:
    return normalise_device_id(request.headers.get("Device-Id", ""))


def _host_of(request: web.Request) -> str:
    """The host the device reached us by; where its header is unusable, the address the connection came to."""
    name, _ = _split_host(request.host)
    if HOST_NAME.fullmatch(name):
        return name
    socket_name = request.transport.get_extra_info("sockname") if request.transport else None
    address = str(socket_name[0]).removeprefix("::ffff:") if socket_name else ""
    return address if HOST_NAME.fullmatch(address) else "127.0.0.1"  # no device could read an IPv6 address


def _split_host(text: str) -> tuple[str, int | None]:
    name, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536
    return (name, int(port)) if name and is_port else (text, None)


def _text_at(body: Mapping[str, Any], *path: str) -> str | None:
    value: Any = body
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return _short(value) if isinstance(value, str) else None


def _dotted(version: str | None) -> str | None:
    return version if version is not None and DEVICE_VERSION.fullmatch(version) else None


def _short(text: str | None) -> str | None:
    return text[:200] if text else None


def _come_again() -> web.Response:
    """A device asks again after ten seconds; an answer without a token would make it forget the one it has."""
    answer = web.json_response({"error": "Devices cannot be looked up at the moment."}, status=503, headers=CORS)
    answer.headers["Retry-After"] = "10"
    return answer


def _refusal(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400, headers=CORS)

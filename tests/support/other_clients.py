"""Two clients that are no firmware, with the habits of theirs that a server meets: a desktop program and a web page.

Both use an ordinary websocket library: it offers compression, answers pings and closes politely.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import ClientSession
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from firmware_sim.mailbox import Mailbox
from firmware_sim.opus import packet_duration_ms
from tests.support.edge_client import ENDING_FRAMES, WAIT_LIMIT_S, quiet, spoken

Json = dict[str, Any]
MIC_SPEED = 4  # times real time
ORIGIN = "http://127.0.0.1:8006"


class OtherClient:
    """What both have in common: a microphone in its own time, and an ear that notes what is against the rules."""

    mac = "02:00:00:00:06:01"
    frame_ms = 60

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.faults: list[str] = []
        self.sentences: list[str] = []
        self.frames = 0
        self.first_audio_at = self.stopped_at = 0.0
        self._speaking = False
        self._mailbox: Mailbox[Json] = Mailbox(500)
        self._reader = asyncio.create_task(self._read())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close(1000)
        await self._reader

    async def wait(self, kind: str, **fields: Any) -> Json:
        async with asyncio.timeout(WAIT_LIMIT_S):
            return await self._mailbox.get(
                lambda message: message["type"] == kind and fields.items() <= message.items()
            )

    def forget(self) -> None:
        """From now on `wait` looks at what comes later only."""
        self._mailbox.clear()

    async def reply(self) -> str:
        await self.wait("tts", state="start")
        await self.wait("tts", state="stop")
        return " ".join(self.sentences)

    async def send(self, **fields: Any) -> None:
        await self.socket.send(json.dumps(fields))

    async def say(self, text: str) -> None:
        await self._stream(spoken(text, frame_ms=self.frame_ms))

    async def keep_quiet(self) -> None:
        await self._stream(quiet(ENDING_FRAMES * 60 // self.frame_ms, self.frame_ms))

    async def after_stop(self) -> None:
        """What the client does of its own accord when the server has spoken."""

    @property
    def was_cut_off(self) -> bool:
        """Both throw away what they have not played when the stop comes."""
        return self.stopped_at - self.first_audio_at < (self.frames - 1) * 0.06

    async def _stream(self, packets: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for packet in packets:
            await self.socket.send(packet)
            due += self.frame_ms / 1000 / MIC_SPEED
            await asyncio.sleep(due - loop.time())

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                message = await self.socket.recv()
                if isinstance(message, bytes):
                    self._take_audio(message)
                else:
                    await self._take(json.loads(message))

    def _take_audio(self, packet: bytes) -> None:
        if not self._speaking:
            self.faults.append("sound outside of a reply")  # these clients would play it
        if packet_duration_ms(packet) != 60:
            self.faults.append("a frame that is not of 60 ms")  # the web page cannot decode others
        if not self.frames:
            self.first_audio_at = asyncio.get_running_loop().time()
        self.frames += 1

    async def _take(self, message: Json) -> None:
        state = message.get("state") if message["type"] == "tts" else None
        if state == "start":
            if self._speaking:
                self.faults.append("a start within a reply")
            self._speaking, self.frames, self.sentences = True, 0, []
        elif state == "sentence_start":
            self.sentences.append(message["text"])
        elif state == "stop":
            self._speaking = False
            self.stopped_at = asyncio.get_running_loop().time()
            await self.after_stop()
        self._mailbox.put(message)


class DesktopClient(OtherClient):
    """Habits of py-xiaozhi: never stores the session id, starts listening twice, frames of 20, 40 or 60 ms."""

    mode = "auto"

    @classmethod
    async def come(cls, ota_url: str, frame_ms: int) -> Self:
        mac = f"{cls.mac[:-2]}{frame_ms}"
        url = await _settle_with_ota(ota_url, mac)
        headers = {
            "Authorization": "Bearer test-token",  # what it makes of an empty one
            "Protocol-Version": "1",
            "Device-Id": mac,
            "Client-Id": "8d6e35d8-55d2-4a3c-93a5-0d9f4d3ac7b5",
        }
        client = cls(await connect(url, additional_headers=headers, ping_interval=20, ping_timeout=20))
        client.frame_ms = frame_ms
        await client.send(
            type="hello",
            version=1,
            features={"mcp": True},
            transport="websocket",
            audio_params={"format": "opus", "sample_rate": 16_000, "channels": 1, "frame_duration": frame_ms},
        )
        await client.wait("hello", transport="websocket")
        return client

    async def listen(self, state: str, **fields: str) -> None:
        await self.send(session_id="", type="listen", state=state, **fields)

    async def start(self, mode: str) -> None:
        self.mode = mode
        await self.listen("start", mode=mode)

    async def abort(self) -> None:
        """It does not wait for our stop, and starts again when that comes."""
        await self.send(session_id="", type="abort")
        await self.listen("start", mode=self.mode)

    async def after_stop(self) -> None:
        if self.mode != "manual":
            await self.listen("start", mode=self.mode)


async def _settle_with_ota(ota_url: str, mac: str) -> str:
    headers = {"Device-Id": mac, "Client-Id": "8d6e35d8-55d2-4a3c-93a5-0d9f4d3ac7b5", "Activation-Version": "2.1.1"}
    body = {
        "application": {"version": "2.1.1", "elf_sha256": "unknown"},
        "board": {"type": "py-xiaozhi", "name": "py-xiaozhi", "ip": "127.0.0.1", "mac": mac},
    }
    proof = {"serial_number": "SN-1", "challenge": "c", "hmac": "0" * 64, "algorithm": "hmac-sha256"}
    async with ClientSession(headers=headers) as http:
        async with http.post(ota_url, json=body) as answer:
            assert answer.status == 200
            url: str = (await answer.json())["websocket"]["url"]
        wrapped = {"Payload": proof}
        async with http.post(f"{ota_url}activate", json=wrapped, headers={"Activation-Version": "2"}) as answer:
            assert answer.status == 200
    return url


class BrowserClient(OtherClient):
    """Habits of the reference server's test page: names itself in the query, a hello with next to nothing in it."""

    mac = "02:00:00:00:06:02"
    session_id = ""

    @classmethod
    async def come(cls, ota_url: str) -> Self:
        identity = {"device-id": cls.mac, "client-id": "web_test_client", "authorization": "Bearer your-token"}
        url = await _ask_ota_from_a_page(ota_url, cls.mac)
        client = cls(await connect(f"{url}?{urlencode(identity)}", origin=ORIGIN))  # type: ignore[arg-type]
        await client.send(
            type="hello",
            device_id=cls.mac,
            device_name="web",
            device_mac=cls.mac,
            token="your-token",
            features={"mcp": True, "emoji": True},
        )
        client.session_id = (await client.wait("hello"))["session_id"]
        assert client.session_id
        return client

    async def type_in(self, text: str) -> None:
        await self.send(type="listen", state="detect", text=text)

    async def record(self, text: str, mode: str, *, says_stop: bool) -> None:
        await self.send(session_id=self.session_id, type="listen", mode=mode, state="start")
        await self.say(text)
        await self.socket.send(b"")
        if says_stop:
            await self.send(session_id=self.session_id, type="listen", mode=mode, state="stop")


async def _ask_ota_from_a_page(ota_url: str, mac: str) -> str:
    """A browser asks first whether it may ask."""
    wanted = "client-id,content-type,device-id"
    preflight = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
    }
    async with ClientSession() as http:
        async with http.options(ota_url, headers=preflight) as answer:
            allowed = answer.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
            assert answer.status in (200, 204)
            assert set(wanted.split(",")) <= set(allowed)
            assert answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN)
        body = {"version": 0, "uuid": "", "application": {"name": "web", "version": "1.0.0"}, "mac_address": mac}
        headers = {"Device-Id": mac, "Client-Id": "web_test_client", "Origin": ORIGIN}
        async with http.post(ota_url, json=body, headers=headers) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] in ("*", ORIGIN)
            url: str = (await answer.json())["websocket"]["url"]
            return url

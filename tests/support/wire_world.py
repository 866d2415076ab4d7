"""A server with a settable cloud behind it, and a client that writes down, in order, whatever the server sends it.

For the edge cases of the protocol: the wire keeps what a device would merely play or show.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from firmware_sim.cloud import StandInCloud
from firmware_sim.device import Habits, SimulatedDevice
from firmware_sim.frames import FrameLayout
from firmware_sim.opus import encode_speech
from firmware_sim.speech import speak
from firmware_sim.websocket import ServerClose, WebSocketClient
from tests.support.running_server import RunningServer, running_server

Json = dict[str, Any]

MAC = "02:00:00:00:0e:02"
SPOKEN = "Hello."  # the one thing that is said: short, shortly answered, and all that the recogniser knows
HELLO: Mapping[str, object] = {
    "type": "hello",
    "version": 1,
    "features": {"mcp": True},
    "transport": "websocket",
    "audio_params": {"format": "opus", "sample_rate": 16_000, "channels": 1, "frame_duration": 60},
}
DEADLINE_S = 15.0


def spoken(text: str = SPOKEN, *, frame_ms: int = 60) -> list[bytes]:
    return encode_speech(speak(text), frame_ms=frame_ms)


@dataclass(frozen=True, slots=True)
class Event:
    """One message of the server: a text as its fields, a sound as its bytes, the end as a Close frame or None."""

    at_s: float
    what: Json | bytes | ServerClose | None
    size: int = 0

    @property
    def kind(self) -> str:
        """In short: "hello", "tts start", "audio", "closed"."""
        if isinstance(self.what, bytes):
            return "audio"
        if isinstance(self.what, dict):
            return " ".join(str(self.what[key]) for key in ("type", "state") if key in self.what)
        return "closed"

    def field(self, name: str) -> Any:
        return self.what.get(name) if isinstance(self.what, dict) else None


class Wire:
    """A client with firmware's socket and no firmware behind it: it does what a test tells it, in any order."""

    def __init__(self, socket: WebSocketClient, version: int) -> None:
        self.layout = FrameLayout(version)
        self.events: list[Event] = []
        self._socket = socket
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, server: RunningServer, *, mac: str = MAC, version: int = 1) -> Self:
        headers = {"Device-Id": mac, "Client-Id": "edge", "Protocol-Version": str(version)}
        return cls(await WebSocketClient.open(server.websocket_url, headers), version)

    @classmethod
    async def greeted(cls, server: RunningServer, *, mac: str = MAC, version: int = 1) -> Self:
        wire = await cls.open(server, mac=mac, version=version)
        try:
            wire.send(**{**HELLO, "version": version})
            await wire.until("hello")
        except BaseException:
            await wire.cut()
            raise
        return wire

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def cut(self) -> None:
        self._socket.abort()
        await self._socket.wait_closed()
        await self._reader

    def send(self, **message: object) -> None:
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        self._socket.send_text(text)

    def send_raw(self, data: bytes) -> None:
        self._socket.send_binary(data)

    def send_long(self, size: int) -> None:
        """A binary message longer than firmware's own socket would send; its mask is zero."""
        self._socket._writer.write(struct.pack(">BBQ4x", 0x82, 0xFF, size) + bytes(size))

    def send_invalid_utf8(self, data: bytes) -> None:
        self._socket._send(0x1, data)

    def send_sound(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            self._socket.send_binary(self.layout.pack(packet))

    def listen(self, state: str, **more: object) -> None:
        self.send(type="listen", state=state, **more)

    def type_in(self, text: str) -> None:
        self.listen("detect", text=text)

    def say(self, packets: Sequence[bytes]) -> None:
        """A whole recording with the button held."""
        self.listen("start", mode="manual")
        self.send_sound(packets)
        self.listen("stop")

    async def until(self, kind: str, *, after: int = 0, **fields: object) -> int:
        """The place behind the first event of this kind (with these fields) from place `after` on."""

        def found() -> int:
            for place, event in enumerate(self.events[after:], after + 1):
                if event.kind == kind and all(event.field(name) == value for name, value in fields.items()):
                    return place
            return 0

        return await self.wait_for(found)

    async def wait_for(self, found: Callable[[], int]) -> int:
        try:
            async with asyncio.timeout(DEADLINE_S), self._news:
                return await self._news.wait_for(found)
        except TimeoutError:
            raise AssertionError(f"it never came; so far there were {self.kinds()}") from None

    async def fence(self) -> int:
        """Everything that the server sent before it read this has come: the place behind it."""
        before = len(self.events)
        self.send(type="ping")
        return await self.until("pong", after=before)

    async def turn(self, text: str = "Hi") -> list[Event]:
        """A short typed turn, whole: it works, and it shows what came before it."""
        before = len(self.events)
        self.type_in(text)
        shown = await self.until("stt", after=before, text=text)
        end = await self.until("tts stop", after=shown)
        events = self.events[before:end]
        assert "audio" in [event.kind for event in events]
        return events

    def kinds(self, start: int = 0, end: int | None = None) -> list[str]:
        """What came, in short, repetitions of sound left out."""
        kinds = [event.kind for event in self.events[start:end]]
        return [kind for place, kind in enumerate(kinds) if not (place and kind == kinds[place - 1] == "audio")]

    def texts(self, start: int = 0, end: int | None = None) -> list[str]:
        """What was shown as said by the server."""
        return [event.field("text") for event in self.events[start:end] if event.kind == "tts sentence_start"]

    async def _read(self) -> None:
        what: str | bytes | ServerClose | None = b""
        while what is not None and not isinstance(what, ServerClose):
            what = await self._socket.receive()
            size = len(what.encode()) if isinstance(what, str) else len(what) if isinstance(what, bytes) else 0
            parsed = json.loads(what) if isinstance(what, str) else what
            async with self._news:
                self.events.append(Event(asyncio.get_running_loop().time(), parsed, size))
                self._news.notify_all()


@dataclass(frozen=True, slots=True)
class WireWorld:
    server: RunningServer
    cloud: StandInCloud

    async def wire(self, *, mac: str = MAC, version: int = 1) -> Wire:
        """Connected and greeted; use it as a context manager."""
        return await Wire.greeted(self.server, mac=mac, version=version)

    def device(self, *, habits: Habits | None = None) -> SimulatedDevice:
        return SimulatedDevice(self.server.ota_url, mac=MAC, habits=habits or Habits(mic_speed=20))


async def _asked_at_the_start() -> None:
    """The server tries its providers once, beside its start; that must not use up the faults that a test sets."""
    asking = [task for task in asyncio.all_tasks() if task.get_name().startswith("asking the")]
    if asking:
        await asyncio.wait(asking, timeout=DEADLINE_S)


@asynccontextmanager
async def wire_world(
    database_dsn: str,
    folder: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    voice: str = "espeak",
    phrases: Sequence[str] = (SPOKEN,),
) -> AsyncIterator[WireWorld]:
    """Model and recogniser are the cloud's; the voice too, if it is to be `cloud`, and then no other helps it out."""
    async with StandInCloud(phrases=phrases) as cloud:
        endpoint = {"type": "openai", "base_url": cloud.base_url, "api_key": "sk-edge", "model": "stand-in"}
        chosen: dict[str, Any] = {
            "selected_module.ASR": "cloud",
            "selected_module.LLM": "cloud",
            "selected_module.TTS": voice,
            "ASR.cloud": endpoint,
            "LLM.cloud": endpoint,
            "TTS.cloud": endpoint,
            "turn.spare_voice": False,
            **(overrides or {}),
        }
        async with running_server(database_dsn, folder, chosen) as server:
            await _asked_at_the_start()
            yield WireWorld(server, cloud)

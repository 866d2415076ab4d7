"""A device that does anything in any order: sense, nonsense, half of a frame, or a reset in the middle of a word.

It draws from a seeded generator only, so that a seed tells what it sends. Meanwhile it checks what no server may do to
any device: greet twice, start speaking twice, send sound or a sentence outside of its speaking.
"""

import asyncio
import json
import struct
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from firmware_sim.websocket import build_frame

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE_S = 5.0
MAX_DOWNLINK_TEXT_BYTES = 8_192

SAID = (
    "Hello.",
    "Goodbye",
    "Hi,ESP",
    "你好，小智！",
    "exit",
    "",
    "  ",
    "a" * 5_000,
    "say \x00\x1b[2J",
    "\U0001f600" * 50,
)
HELLOS: tuple[dict[str, Any], ...] = (
    {"version": 1, "transport": "websocket", "features": {"mcp": True}, "audio_params": {"frame_duration": 60}},
    {"features": {"mcp": True, "emoji": True}, "device_mac": "web"},
    {"version": 3, "audio_params": {"format": "pcm", "sample_rate": 8000, "frame_duration": 20}},
    {"version": [], "features": 7, "audio_params": "loud", "session_id": None},
)
NONSENSE = (
    "",
    "null",
    "[]",
    "5",
    "{",
    "{}",
    '{"type":null}',
    '{"type":"mystery"}',
    '{"type":"hello"' * 9,
    "[" * 30_000,
    '{"type":"listen"}',
    '{"type":"listen","state":"sit"}',
    '{"type":"listen","state":"detect","text":"say "hi" now"}',
    '{"type":"listen","state":"detect","text":"\\ud800"}',
    '{"type":"abort","reason":{"a":NaN}}',
    '{"type":"mcp","payload":{"x":1e999}}',
    '{"type":"mcp","payload":"{\\"id\\":1}"}',
    '{"type":"mcp","payload":{"jsonrpc":"2.0","id":99,"result":{"tools":[]}}}',
    '{"type":"iot","update":true,"descriptors":[{"name":"lamp"}]}',
    '{"type":"ping"}',
)
IDENTITIES = (
    "Device-Id: {mac}\r\nClient-Id: {client}\r\nProtocol-Version: {version}\r\n",
    "Device-Id: {mac}\r\nProtocol-Version: abc\r\nAuthorization: Bearer test-token\r\n",
    "Device-Id: ../../{mac}'; drop table\r\nAccept-Language: zh-CN\r\n",
    "Device-Id: \xff\xfe{mac}\r\nUser-Agent: \xe9\xff\r\n",
    "",
)
PATHS = ("/xiaozhi/v1/", "/", "/xiaozhi/v1/?device-id={mac}&client-id=%00%ff", "/%ff?&&=;" + "x" * 500)


@dataclass(slots=True)
class Heard:
    """What the server sent on one connection, and what was wrong with it."""

    kinds: Counter[str] = field(default_factory=Counter)
    wrongs: list[str] = field(default_factory=list)
    greeted: bool = False
    speaking: bool = False

    def take(self, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            self.kinds["sound"] += 1
            self._expect(self.speaking, "sound outside of speaking")
        elif opcode == TEXT:
            self._expect(len(payload) < MAX_DOWNLINK_TEXT_BYTES, "a text that a small chip cannot hold")
            self._take_message(json.loads(payload))
        elif opcode == CLOSE:
            self.kinds["close"] += 1

    def _take_message(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        self.kinds[kind] += 1
        if kind == "hello":
            self._expect(not self.greeted, "a second hello")
            self.greeted = True
        elif kind == "tts":
            self._take_speaking(message["state"])

    def _take_speaking(self, state: str) -> None:
        self.kinds[f"tts {state}"] += 1
        self._expect(state != "start" or not self.speaking, "tts start while speaking")
        self._expect(state != "sentence_start" or self.speaking, "a sentence outside of speaking")
        self.speaking = state == "start" or (self.speaking and state != "stop")

    def _expect(self, holds: bool, wrong: str) -> None:
        if not holds:
            self.wrongs.append(wrong)


@dataclass(frozen=True, slots=True)
class Ports:
    websocket: int
    http: int


class RandomDevice:
    """`walk` does so many steps; `steps` names the last of them, `totals` counts what the server sent."""

    def __init__(self, random: Random, ports: Ports, speech: Sequence[bytes], macs: Sequence[str]) -> None:
        self.steps: deque[str] = deque(maxlen=30)
        self.done: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self._random = random
        self._ports = ports
        self._speech = speech
        self._macs = macs
        self._version = 1
        self._heard = Heard()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._something = asyncio.Event()

    async def walk(self, steps: int) -> None:
        for _ in range(steps):
            choices = _CONNECTED if self._is_open() else _APART
            action = self._random.choices([action for action, _ in choices], [weight for _, weight in choices])[0]
            self.steps.append(action.__name__)
            self.done[action.__name__] += 1
            await action(self)
            await self._flush()
        await self.hang_up()

    def _is_open(self) -> bool:
        return self._writer is not None and not self._writer.is_closing()

    # --- coming and going ---

    async def connect(self) -> None:
        await self.hang_up()
        draw = self._random
        self._version = draw.choice([1, 1, 2, 3])
        names = {"mac": draw.choice(self._macs), "client": "c" * draw.randrange(1, 9), "version": self._version}
        path = draw.choices(PATHS, [8, 1, 1, 1])[0].format_map(names)
        who = draw.choices(IDENTITIES, [12, 1, 1, 1, 1])[0].format_map(names)
        head = (
            f"GET {path} HTTP/1.1\r\nHost: box\r\n{who}Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports.websocket)
        writer.write(head.encode("latin-1"))
        answer = await _until_blank_line(reader)
        self.totals[answer[9:12].decode("latin-1") or "no answer"] += 1
        if not answer.startswith(b"HTTP/1.1 101"):
            await _close(writer)
            return
        self._writer, self._heard = writer, Heard()
        self._reading = asyncio.create_task(self._read(reader))
        if draw.random() < 0.9:
            await self.hello()

    async def hang_up(self) -> None:
        """Close TCP without a Close frame, and wait for the end of it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await _close(writer)
        if self._reading is not None:
            await asyncio.wait([self._reading])
            self._reading.result()
            self._reading = None
            self.totals += self._heard.kinds
            self.wrongs += self._heard.wrongs

    async def vanish(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        await self.hang_up()

    async def knock_with_noise(self) -> None:
        """Bytes that are no upgrade, at either port."""
        port = self._random.choice([self._ports.websocket, self._ports.http])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        noise = self._random.choice(
            [
                self._random.randbytes(self._random.randrange(200)),
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
                b"POST /xiaozhi/ota/ HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"GET /" + b"x" * 9_000,
            ]
        )
        writer.write(noise)
        if self._random.random() < 0.5:
            self._random.choice([writer.write_eof, writer.transport.abort])()
        else:
            await _read_some(reader, 0.02)
        await _close(writer)

    async def ask_ota(self) -> None:
        draw = self._random
        body = draw.choice(
            [
                b"",
                b"{",
                b'{"application":{"version":"2.4.2"},"board":{"type":"lamp"}}',
                b'{"application":{"version":"9"},"board":{"type":"\\u0000\\ud800"}}',
                draw.randbytes(60),
                b"[" * 70_000,
            ]
        )
        who = draw.choice(IDENTITIES).format(mac=draw.choice(self._macs), client="c", version=1)
        method, path = draw.choice(["POST", "POST", "GET", "PUT"]), draw.choice(["ota/", "ota", "ota/activate"])
        head = f"{method} /xiaozhi/{path} HTTP/1.1\r\nHost: box:8003\r\n{who}Content-Length: {len(body)}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports.http)
        writer.write(f"{head}Connection: close\r\n\r\n".encode("latin-1") + body)
        status = (await _until_blank_line(reader))[9:12].decode("latin-1")
        self.totals[f"ota {status}"] += 1
        if status not in ("200", "400", "405", ""):
            self.wrongs.append(f"OTA answered {status!r}")
        await _close(writer)

    # --- sense ---

    async def hello(self) -> None:
        self._say_json({"type": "hello", **self._random.choice(HELLOS)})

    async def listen(self) -> None:
        mode = self._random.choice(["auto", "manual", "realtime", "unknown", None])
        self._say_json({"type": "listen", "state": "start", "mode": mode})

    async def stop_listening(self) -> None:
        self._say_json({"type": "listen", "state": "stop"})

    async def type_text(self) -> None:
        text = self._random.choices(SAID, [8] + [1] * (len(SAID) - 1))[0]
        self._say_json({"session_id": "", "type": "listen", "state": "detect", "text": text})

    async def abort(self) -> None:
        self._say_json({"type": "abort", "reason": self._random.choice([None, "wake_word_detected", 7])})

    async def say_goodbye(self) -> None:
        self._say_json({"type": "goodbye"})

    async def speak(self) -> None:
        """A whole utterance with the button held."""
        self._say_json({"type": "listen", "state": "start", "mode": "manual"})
        for packet in self._speech[: self._random.randrange(1, len(self._speech) + 1)]:
            self._say_binary(self._framed(packet))
        self._say_json({"type": "listen", "state": "stop"})

    async def babble(self) -> None:
        """Some sound, whether anybody listens or not."""
        for _ in range(self._random.randrange(1, 12)):
            self._say_binary(self._framed(self._random.choice([self._random.choice(self._speech), b"\xf8", b""])))

    async def wait(self) -> None:
        """For the server's next word, a short while."""
        self._something.clear()
        try:
            async with asyncio.timeout(self._random.choice([0.01, 0.05, 0.3])):
                await self._something.wait()
        except TimeoutError:
            return

    # --- nonsense ---

    async def say_nonsense(self) -> None:
        self._say(TEXT, self._random.choice(NONSENSE).encode())

    async def send_noise(self) -> None:
        size = self._random.choice([1, 3, 16, 100, 1_000, 4_096, 4_200, 66_000])
        self._say_binary(self._random.randbytes(size))

    async def lie_about_length(self) -> None:
        packet = self._random.randbytes(20)
        size = self._random.choice([0, 19, 21, 0xFFFF])
        self._say_binary(
            self._random.choice([struct.pack(">HHIII", 2, 0, 0, 0, size), struct.pack(">BBH", 0, 0, size)]) + packet
        )

    async def send_half_a_character(self) -> None:
        self._say(TEXT, b'{"type":"abort"\xff\xc3}')

    async def send_control(self) -> None:
        opcode = self._random.choice([PING, PONG, CLOSE])
        payload = self._random.choice([b"", b"\x03\xe8", b"\x03\xe8bye", b"\x00", b"x" * 125])
        self._say(opcode, payload)

    async def break_framing(self) -> None:
        """What a websocket may not send: reserved opcodes and bits, no mask, an endless length, half a frame."""
        self._raw(
            self._random.choice(
                [
                    b"\x83\x80\0\0\0\0",
                    b"\xf1\x80\0\0\0\0",
                    b"\x81\x02hi",
                    b"\x82\xff" + b"\xff" * 8 + b"\0" * 4,
                    b"\x82\xfe\x10",
                    b"\x00\x80\0\0\0\0",
                    b"\x09\x80\0\0\0\0",
                ]
            )
        )

    async def send_fragments(self) -> None:
        """A message in pieces, at times without its end."""
        pieces = self._random.randrange(1, 40)
        self._raw(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * pieces)
        if self._random.random() < 0.8:
            self._raw(b"\x80\x80\0\0\0\0")

    # --- the wire ---

    def _framed(self, packet: bytes) -> bytes:
        if self._version == 2:
            return struct.pack(">HHIII", 2, 0, 0, 0, len(packet)) + packet
        return struct.pack(">BBH", 0, 0, len(packet)) + packet if self._version == 3 else packet

    def _say_json(self, message: dict[str, Any]) -> None:
        self._say(TEXT, json.dumps(message).encode())

    def _say_binary(self, data: bytes) -> None:
        self._say(BINARY, data)

    def _say(self, opcode: int, payload: bytes) -> None:
        self._raw(build_frame(opcode, payload))

    def _raw(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    async def _flush(self) -> None:
        """Let the server have its turn."""
        if self._writer is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._writer.drain()
        except OSError:
            await self.hang_up()
        await asyncio.sleep(0)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        writer = self._writer
        assert writer is not None
        try:
            while True:
                opcode, payload = await _frame(reader)
                self._heard.take(opcode, payload)
                self._something.set()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()
            self._something.set()


Action = Callable[[RandomDevice], Awaitable[None]]

_APART: tuple[tuple[Action, int], ...] = (
    (RandomDevice.connect, 12),
    (RandomDevice.knock_with_noise, 1),
    (RandomDevice.ask_ota, 2),
)
_CONNECTED: tuple[tuple[Action, int], ...] = (
    (RandomDevice.listen, 10),
    (RandomDevice.stop_listening, 5),
    (RandomDevice.type_text, 8),
    (RandomDevice.abort, 6),
    (RandomDevice.speak, 5),
    (RandomDevice.babble, 12),
    (RandomDevice.wait, 20),
    (RandomDevice.say_nonsense, 12),
    (RandomDevice.send_noise, 3),
    (RandomDevice.lie_about_length, 3),
    (RandomDevice.send_half_a_character, 2),
    (RandomDevice.send_fragments, 2),
    (RandomDevice.hello, 2),
    (RandomDevice.ask_ota, 2),
    (RandomDevice.send_control, 1),
    (RandomDevice.break_framing, 1),
    (RandomDevice.say_goodbye, 1),
    (RandomDevice.connect, 1),
    (RandomDevice.hang_up, 1),
    (RandomDevice.vanish, 1),
)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    return first & 0x0F, await reader.readexactly(length)


async def _until_blank_line(reader: asyncio.StreamReader) -> bytes:
    """The head of an HTTP answer; nothing, if the server hung up instead. TimeoutError: it does not answer."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        return b""


async def _read_some(reader: asyncio.StreamReader, patience_s: float) -> None:
    try:
        async with asyncio.timeout(patience_s):
            await reader.read(1_000)
    except (TimeoutError, OSError):
        return


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return  # a reset is as closed as it gets

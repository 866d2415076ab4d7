"""A websocket client that says exactly what a test tells it to, when it is told to, and keeps what comes back.

It has the firmware's habits on the wire (no Close frame, no echo of one) and none of its habits of behaviour.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from firmware_sim.errors import ChannelClosedError
from firmware_sim.mailbox import Mailbox
from firmware_sim.opus import encode_speech, silence_packet
from firmware_sim.speech import speak
from firmware_sim.websocket import Message, ServerClose, WebSocketClient

Json = dict[str, Any]
MAC = "02:00:00:00:00:01"
HELLO: Json = {"type": "hello", "version": 1, "transport": "websocket"}
WAIT_LIMIT_S = 10.0
# Enough silence for an utterance to end by itself.
ENDING_FRAMES = 12


def spoken(text: str, *, frame_ms: int = 60) -> list[bytes]:
    """The text as Opus packets."""
    return encode_speech(speak(text), frame_ms=frame_ms)


def quiet(frames: int = ENDING_FRAMES, frame_ms: int = 60) -> list[bytes]:
    return [silence_packet(frame_ms)] * frames


class EdgeClient:
    """`kinds` is all that came, in short: "hello", "stt", "tts start", "audio", … `texts` are the JSON messages."""

    def __init__(self, socket: WebSocketClient) -> None:
        self._socket = socket
        self._mailbox: Mailbox[Json] = Mailbox(500)
        self._reader: asyncio.Task[None] | None = None
        self.kinds: list[str] = []
        self.texts: list[Json] = []
        self.packets: list[bytes] = []
        self.close: ServerClose | None = None

    @classmethod
    async def open(
        cls, url: str, headers: Mapping[str, str] | None = None, *, device_id: str = MAC, reads: bool = True
    ) -> Self:
        """Without a hello. A client that does not read answers no ping either."""
        client = cls(await WebSocketClient.open(url, {"Device-Id": device_id} if headers is None else headers))
        if reads:
            client._reader = asyncio.create_task(client._read())
        return client

    # --- what it says ---

    def send(self, **fields: Any) -> None:
        self.send_text(json.dumps(fields, ensure_ascii=False))

    def send_text(self, text: str) -> None:
        self._socket.send_text(text)

    def send_binary(self, *frames: bytes) -> None:
        for frame in frames:
            self._socket.send_binary(frame)

    def listen(self, state: str, **fields: Any) -> None:
        self.send(type="listen", state=state, **fields)

    def ask(self, text: str) -> None:
        """A typed question."""
        self.listen("detect", text=text)

    async def greet(self, **hello: Any) -> Json:
        """Say hello and wait for the server's."""
        self.send(**(hello or HELLO))
        return await self.wait("hello")

    # --- what it hears ---

    async def wait(self, kind: str, **fields: Any) -> Json:
        """The next message of a type with these fields; each is taken once."""
        async with asyncio.timeout(WAIT_LIMIT_S):
            return await self._mailbox.get(
                lambda message: message.get("type") == kind and fields.items() <= message.items()
            )

    async def reply(self) -> str:
        """The text of the next reply, once it is over."""
        await self.wait("tts", state="start")
        await self.wait("tts", state="stop")
        said = [index for index, kind in enumerate(self.kinds) if kind in ("tts start", "tts stop")]
        count = self.kinds[said[-2] : said[-1]].count("tts sentence_start")
        sentences = [str(text["text"]) for text in self.texts if text.get("state") == "sentence_start"]
        return " ".join(sentences[len(sentences) - count :])

    async def settled(self) -> None:
        """Everything that was said before has been dealt with, and what was answered at once is here."""
        self.send(type="ping")
        await self.wait("pong")

    async def wait_closed(self) -> ServerClose | None:
        """Wait until the server has ended TCP; its Close frame, if there was one."""
        assert self._reader is not None
        done, _ = await asyncio.wait({self._reader}, timeout=WAIT_LIMIT_S)
        assert done, f"the server did not close; it sent {self.kinds}"
        return self.close

    # --- how it leaves ---

    async def hang_up(self) -> None:
        """TCP ends, without a Close frame."""
        self._socket.drop()
        await self._gone()

    async def vanish(self) -> None:
        """TCP is reset."""
        self._socket.abort()
        await self._gone()

    async def _gone(self) -> None:
        await self._socket.wait_closed()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})
            self._reader = None

    async def _read(self) -> None:
        while (message := await self._socket.receive()) is not None:
            self._take(message)
        self._mailbox.close(ChannelClosedError(f"the server ended TCP after {self.kinds[-5:]}"))

    def _take(self, message: Message) -> None:
        if isinstance(message, ServerClose):
            self.close = message
        elif isinstance(message, bytes):
            self.kinds.append("audio")
            self.packets.append(message)
        else:
            fields: Json = json.loads(message)
            self.kinds.append(" ".join(filter(None, (fields["type"], fields.get("state")))))
            self.texts.append(fields)
            self._mailbox.put(fields)


@asynccontextmanager
async def edge_client(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    device_id: str = MAC,
    greet: bool = True,
    early: Sequence[bytes] = (),
) -> AsyncIterator[EdgeClient]:
    """One that has said hello, unless told otherwise, and is gone at the end. `early` frames follow the hello."""
    client = await EdgeClient.open(url, headers, device_id=device_id)
    try:
        if greet:
            await client.greet()
            client.send_binary(*early)
        yield client
    finally:
        await client.hang_up()

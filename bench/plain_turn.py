"""A turn without a server: the services asked one after the other by a plain client, which is as quick as it can be.

Sound is transcribed, the transcript is answered, and the first sentence of the answer is spoken as soon as its words
have ended. How much later the server lets its first sound be heard is what the server itself costs a turn.
"""

import asyncio
import io
import json
import re
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from firmware_sim.load import PHRASE, paced
from firmware_sim.opus import UPLINK_RATE
from firmware_sim.speech import speak

_SENTENCE_END = re.compile(r"[.!?]\s|[。！？]")


@dataclass(frozen=True, slots=True)
class PlainTurns:
    """`clients` talk at the pace of the load: each takes a turn in every period."""

    cloud_url: str
    clients: int
    turns: int
    period_s: float = 10.0

    async def measure(self) -> list[float]:
        """How long each turn took until the first bytes of its sound, in ms."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            client = _Client(session, self.cloud_url, _wav_file(speak(PHRASE)))
            await client.take_turn()  # the recogniser then knows the sound, as it knows that of the server
            taken = await asyncio.gather(*(self._talk(client) for _ in range(self.clients)))
        return [turn_ms for turns_ms in taken for turn_ms in turns_ms]

    async def _talk(self, client: "_Client") -> list[float]:
        return [await client.take_turn() async for _ in paced(self.turns, self.period_s)]


@dataclass(frozen=True, slots=True)
class _Client:
    session: aiohttp.ClientSession
    url: str
    sound: bytes

    async def take_turn(self) -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        question = await self._transcribed()
        chat = {"model": "stand-in", "messages": [{"role": "user", "content": question}], "stream": True}
        async with self._post("/chat/completions", json=chat) as answer:
            sentence = await _first_sentence(_deltas(answer))
            speech = {"model": "stand-in", "voice": "alloy", "input": sentence, "response_format": "pcm"}
            async with self._post("/audio/speech", json=speech) as sound:
                if not await sound.content.readany():
                    raise RuntimeError("the voice said nothing")
                took_s = loop.time() - began_s
                await sound.read()  # to the end, so that the connections are used again
            await answer.read()
        return took_s * 1000

    async def _transcribed(self) -> str:
        form = aiohttp.FormData({"model": "stand-in", "response_format": "json"})
        form.add_field("file", self.sound, filename="utterance.wav", content_type="audio/wav")
        async with self._post("/audio/transcriptions", data=form) as answer:
            return str((await answer.json())["text"])

    def _post(self, path: str, **body: Any) -> Any:
        return self.session.post(self.url + path, raise_for_status=True, **body)


async def _deltas(answer: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """The words as they come. They have ended with the event that tells why, not with the end of the stream."""
    async for line in answer.content:
        if line.startswith(b"data: {"):
            choice = json.loads(line.removeprefix(b"data: "))["choices"][0]
            if choice["finish_reason"] is not None:
                return
            yield choice["delta"].get("content") or ""


async def _first_sentence(deltas: AsyncIterator[str]) -> str:
    text = ""
    async for delta in deltas:
        text += delta
        if end := _SENTENCE_END.search(text):
            return text[: end.end()]
    return text


def _wav_file(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(UPLINK_RATE)
        writer.writeframes(pcm)
    return file.getvalue()

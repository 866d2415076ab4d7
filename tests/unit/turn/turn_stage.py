"""A stage for turns: scripted providers behind the real ports, and a device that notes what reaches it, and when."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from xiaozhi_server.core.dialogue import Dialogue
from xiaozhi_server.core.ports import AgentProfile, Binding, Exchange, SpokenLine
from xiaozhi_server.core.providers.asr.base import AsrNotConfiguredError, Transcript
from xiaozhi_server.core.providers.llm.base import ChatMessage, LlmEvent, TextDelta, ToolSpec
from xiaozhi_server.core.providers.memory.base import AnyMessage, Memory, MemoryProvider
from xiaozhi_server.core.providers.tts.base import AudioFormat
from xiaozhi_server.core.turn.playback import Pacer
from xiaozhi_server.core.turn.turn import Request, Turn, TurnContext, TurnOptions, TurnServices

RATE = 24_000
FRAME_S = 0.06


def tone(seconds: float) -> bytes:
    samples = np.sin(np.arange(int(RATE * seconds)) * 0.2) * 8000
    sound: bytes = samples.astype("<i2").tobytes()
    return sound


class ScriptedLlm:
    """Plays a script of deltas; a number is a pause in seconds, an exception is raised."""

    def __init__(self, *script: str | float | Exception) -> None:
        self.script = script
        self.asked: list[list[ChatMessage]] = []
        self.closed = 0

    async def stream(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = ()) -> AsyncIterator[LlmEvent]:
        self.asked.append(list(messages))
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield TextDelta(step)
                else:
                    await asyncio.sleep(step)
        finally:
            self.closed += 1

    async def probe(self) -> str:
        return "scripted"

    async def close(self) -> None: ...


class ScriptedTts:
    """Every text lasts `seconds`; `delay_s` before the first sound, `failure` instead of it."""

    def __init__(self, seconds: float = 1.2, delay_s: float = 0.0, failure: Exception | None = None) -> None:
        self.seconds = seconds
        self.delay_s = delay_s
        self.failure = failure
        self.asked: list[str] = []
        self.chunk_bytes = 1 << 20
        self.under_way = 0
        self.most_under_way = 0

    @property
    def audio_format(self) -> AudioFormat:
        return AudioFormat("pcm", RATE)

    async def synthesize(self, text: str, *, language: str | None) -> AsyncIterator[bytes]:
        self.asked.append(text)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay_s)
            if self.failure is not None:
                raise self.failure
            sound = tone(self.seconds)
            for start in range(0, len(sound), self.chunk_bytes):
                yield sound[start : start + self.chunk_bytes]
        finally:
            self.under_way -= 1

    async def probe(self) -> str:
        return "scripted"

    async def close(self) -> None: ...


class ScriptedAsr:
    def __init__(
        self, text: str = "", delay_s: float = 0.0, failure: Exception | None = None, speaker: str | None = None
    ) -> None:
        self.text = text
        self.speaker = speaker
        self.delay_s = delay_s
        self.failure = failure

    async def transcribe(self, pcm: bytes, *, sample_rate: int, language: str | None) -> Transcript:
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        return Transcript(self.text, speaker=self.speaker)

    async def probe(self) -> str:
        return "scripted"

    async def close(self) -> None: ...


class NoAsr(ScriptedAsr):
    def __init__(self) -> None:
        super().__init__(failure=AsrNotConfiguredError())


class ScriptedMemory:
    role_id = "device:1"

    def __init__(self, memories: Sequence[Memory] = (), delay_s: float = 0.0, failure: Exception | None = None) -> None:
        self.memories = list(memories)
        self.delay_s = delay_s
        self.failure = failure
        self.queries: list[str] = []
        self.speakers: list[str | None] = []

    async def init_memory(
        self,
        role_id: str,
        *,
        agent_id: str | None = None,
        summary_memory: str | None = None,
        memory_categories: Sequence[str] = (),
    ) -> None: ...

    async def save_memory(
        self,
        messages: Sequence[AnyMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None: ...

    async def query_memory(self, query: str) -> str:
        return ""

    async def recall(self, query: str, limit: int, deadline: float, *, speaker: str | None = None) -> list[Memory]:
        self.queries.append(query)
        self.speakers.append(speaker)
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        return self.memories[:limit]

    async def close(self) -> None: ...


class NotedLog:
    """Keeps what is recorded; `delay_s` plays a slow database."""

    def __init__(self, delay_s: float = 0.0, failure: Exception | None = None) -> None:
        self.delay_s = delay_s
        self.failure = failure
        self.exchanges: list[Exchange] = []
        self.recorded_at: list[float] = []

    async def open_session(self, session_id: str, binding: Binding, opened_at: datetime) -> None: ...

    async def record(self, exchange: Exchange, memory: MemoryProvider | None) -> None:
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        self.exchanges.append(exchange)
        self.recorded_at.append(asyncio.get_running_loop().time())

    async def close_session(self, session_id: str, closed_at: datetime, reason: str) -> None: ...

    async def latest_lines(self, binding: Binding, limit: int) -> Sequence[SpokenLine]:
        return []


@dataclass(frozen=True, slots=True)
class Received:
    at: float
    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    packet: bytes = b""


class NotedDevice:
    """The output of turns: what came, in order, with the loop's time."""

    def __init__(self) -> None:
        self.received: list[Received] = []

    def send_text(self, message: str) -> None:
        body = json.loads(message)
        kind = f"tts {body['state']}" if body["type"] == "tts" else str(body["type"])
        self.received.append(Received(asyncio.get_running_loop().time(), kind, body))

    def send_audio(self, packet: bytes, timestamp_ms: int) -> None:
        assert 0 < timestamp_ms <= 0xFFFF_FFFF
        self.received.append(Received(asyncio.get_running_loop().time(), "audio", packet=packet))

    @property
    def kinds(self) -> list[str]:
        """The order of events, sound reduced to one entry where it runs on."""
        kinds = [item.kind for item in self.received]
        return [kind for index, kind in enumerate(kinds) if kind != "audio" or kinds[index - 1] != "audio"]

    @property
    def frames(self) -> list[Received]:
        return [item for item in self.received if item.kind == "audio"]

    def of(self, kind: str) -> list[Received]:
        return [item for item in self.received if item.kind == kind]

    @property
    def sentences(self) -> list[str]:
        return [item.body["text"] for item in self.of("tts sentence_start")]


AGENT = AgentProfile(id="agent-1", name="Test", prompt="You are kind.", language="en")


class Stage:
    """Turns of one device with one dialogue, on the loop that runs."""

    def __init__(
        self, services: TurnServices, language: str, memory: MemoryProvider | None, greeting: str = ""
    ) -> None:
        self.services = services
        self.device = NotedDevice()
        self.dialogue = Dialogue(4_000)
        self.context = TurnContext(
            session_id="s-1",
            binding=Binding("aa:bb", "device:aa:bb", AGENT),
            language=language,
            dialogue=self.dialogue,
            memory=memory,
            is_farewell=lambda text: text == "exit",
            is_wake_word=lambda text: text == "Hey Robot",
            greeting=greeting,
        )
        self._turns = 0

    @property
    def log(self) -> NotedLog:
        assert isinstance(self.services.log, NotedLog)
        return self.services.log

    def turn(self, request: Request) -> Turn:
        self._turns += 1
        return Turn(f"turn-{self._turns}", request, self.context, self.services, self.device)

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(message.role, message.content) for message in self.dialogue.messages()]


@contextmanager
def stage(
    *,
    llm: ScriptedLlm | None = None,
    tts: ScriptedTts | None = None,
    spare_tts: ScriptedTts | None = None,
    asr: ScriptedAsr | None = None,
    log: NotedLog | None = None,
    memory: MemoryProvider | None = None,
    options: TurnOptions | None = None,
    language: str = "en",
    greeting: str = "",
) -> Iterator[Stage]:
    with ThreadPoolExecutor(2) as executor:
        services = TurnServices(
            asr=asr or NoAsr(),
            llm=llm or ScriptedLlm("Hello there, my friend."),
            tts=tts or ScriptedTts(),
            log=log or NotedLog(),
            executor=executor,
            pacer=Pacer(),
            options=options or TurnOptions(),
            spare_tts=spare_tts,
        )
        yield Stage(services, language, memory, greeting)


async def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Let the loop's clock run until something has happened."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + limit_s
    while not condition():
        assert loop.time() < ends_at, "it never happened"
        await asyncio.sleep(0.005)


def a_memory(text: str, when: datetime | None = None) -> Memory:
    return Memory("m-1", text, when or datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC), 0.9)

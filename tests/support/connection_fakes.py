"""Stand-ins for everything that a connection is given: its socket, its ear, its turns, and the ports behind them."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from xiaozhi_server.core.bounds import Bound
from xiaozhi_server.core.connection import ConnectionHandler, ConnectionOptions, ConnectionServices
from xiaozhi_server.core.device_socket import LEFT, Message
from xiaozhi_server.core.hearing.events import HearingEvent, ListenMode, UtteranceEnded
from xiaozhi_server.core.ports import AgentProfile, Binding, DeviceContact, Exchange, SpokenLine
from xiaozhi_server.core.providers.memory.base import MemoryProvider
from xiaozhi_server.core.session import SessionServices
from xiaozhi_server.core.turn.inputs import AnnounceRequest, Request, TurnContext, TurnOutcome, TypedRequest
from xiaozhi_server.core.turn.output import DeviceOutput
from xiaozhi_server.core.wire.messages import tts_sentence, tts_start, tts_stop

AGENT = AgentProfile(id="agent-1", name="Ada", prompt="", language="en")
CONTACT = DeviceContact(device_id="aa:bb:cc:dd:ee:ff", client_id=None, remote_address=None)
SESSION_ID = "session-1"
UTTERANCE = UtteranceEnded(b"\0\0" * 1600, 16_000, 100, 100, "silence")


class FakeChannel:
    """A socket whose sent messages can be read, and which closes when told to."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.aborted = False
        self.closed_with: tuple[int, str] | None = None
        self._receive: Callable[[Message], None] | None = None
        self._closed = asyncio.Event()

    def attach(self, receive: Callable[[Message], None]) -> None:
        self._receive = receive

    def send(self, message: Message) -> None:
        if not self._closed.is_set():
            self.sent.append(message)

    def abort(self) -> None:
        self.aborted = True
        self._closed.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)
        self._closed.set()

    async def wait_closed(self) -> str:
        await self._closed.wait()
        return LEFT

    def vanish(self) -> None:
        self._closed.set()

    def come(self, message: Message) -> None:
        assert self._receive is not None
        self._receive(message)

    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.sent if isinstance(message, str)]

    def kinds(self) -> list[str]:
        """What was sent, in short: "hello", "tts start", "audio", …"""
        return [_kind_of(message) for message in self.sent]


def _kind_of(message: Message) -> str:
    if isinstance(message, bytes):
        return "audio"
    fields = json.loads(message)
    return " ".join(filter(None, (fields["type"], fields.get("state"))))


class FakeListener:
    def __init__(self, on_event: Callable[[HearingEvent], None]) -> None:
        self.on_event = on_event
        self.calls: list[str] = []
        self.fed: list[bytes] = []
        self._mode: ListenMode | None = None

    @property
    def mode(self) -> ListenMode | None:
        return self._mode

    def start(self, mode: ListenMode) -> None:
        self._mode = mode
        self.calls.append(f"start {mode}")

    def stop(self) -> None:
        self._mode = None
        self.calls.append("stop")

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def discard_wake_burst(self) -> None:
        self.calls.append("discard")

    def feed(self, packet: bytes) -> None:
        self.fed.append(packet)

    async def close(self) -> None:
        self.calls.append("close")


@dataclass
class Script:
    """How the fake turns behave: they think, speak and end like this."""

    think_s: float = 0.0
    speak_s: float = 1.0
    failure: Exception | None = None
    late_failure: Exception | None = None  # after `tts start`, and without a stop
    silent: bool = False


@dataclass
class FakeTurn:
    turn_id: str
    request: Request
    context: TurnContext
    output: DeviceOutput
    script: Script
    state: str = "new"

    async def run(self) -> TurnOutcome:
        self.state = "running"
        try:
            await asyncio.sleep(self.script.think_s)
            if self.script.failure is not None:
                raise self.script.failure
            if self.script.silent:
                self.state = "done"
                return TurnOutcome("silent")
            await self._speak()
        except asyncio.CancelledError:
            self.state = "cancelled"
            self._say_late_things()
            raise
        self.state = "done"
        text = self.request.text if isinstance(self.request, TypedRequest) else ""
        return TurnOutcome("done", text, farewell=bool(text) and self.context.is_farewell(text))

    async def _speak(self) -> None:
        self.output.send_text(tts_start(self.context.session_id))
        self.output.send_text(tts_sentence(self.context.session_id, "Well."))
        self.output.send_audio(b"opus", 0)
        if self.script.late_failure is not None:
            raise self.script.late_failure
        await asyncio.sleep(self.script.speak_s)
        self.output.send_text(tts_stop(self.context.session_id))

    def _say_late_things(self) -> None:
        self.output.send_text(tts_start(self.context.session_id))
        self.output.send_text(tts_sentence(self.context.session_id, "Late."))
        self.output.send_audio(b"late", 0)
        self.output.send_text(tts_stop(self.context.session_id))


class FakeDirectory:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.delay_s = 0.0
        self.asked = 0

    async def resolve(self, contact: DeviceContact) -> Binding:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        if self.failure is not None:
            raise self.failure
        return Binding(contact.device_id, f"device:{contact.device_id}", AGENT)


@dataclass
class FakeLog:
    opened: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)

    async def open_session(self, session_id: str, binding: Binding, opened_at: datetime) -> None:
        self.opened.append(session_id)

    async def record(self, exchange: Exchange, memory: MemoryProvider | None) -> None:
        raise AssertionError("a connection records nothing by itself")

    async def close_session(self, session_id: str, closed_at: datetime, reason: str) -> None:
        self.closed.append((session_id, reason))

    async def latest_lines(self, binding: Binding, limit: int) -> Sequence[SpokenLine]:
        return ()


@dataclass
class FakeObserver:
    opened: int = 0
    closed: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    bounds: list[str] = field(default_factory=list)
    somebody_left: asyncio.Event = field(default_factory=asyncio.Event)

    def connection_opened(self) -> None:
        self.opened += 1

    def connection_closed(self, reason: str) -> None:
        self.closed.append(reason)
        self.somebody_left.set()

    def message_ignored(self, reason: str) -> None:
        self.ignored.append(reason)

    def turn_over(self, outcome: TurnOutcome) -> None:
        self.outcomes.append(outcome.kind)

    def bound_reached(self, bound: Bound) -> None:
        self.bounds.append(bound)


async def no_memory(_: Binding) -> MemoryProvider | None:
    return None


class Stage:
    """Everything that connections share, as fakes; the ears and turns that were made are kept."""

    def __init__(self, options: ConnectionOptions | None = None) -> None:
        self.directory = FakeDirectory()
        self.log = FakeLog()
        self.observer = FakeObserver()
        self.script = Script()
        self.turns: list[FakeTurn] = []
        self.listeners: list[FakeListener] = []
        self.services = ConnectionServices(
            session=SessionServices(
                directory=self.directory,
                log=self.log,
                memory_for=no_memory,
                fallback_agent=AGENT,
                exit_commands=("goodbye now",),
            ),
            make_listener=self._make_listener,
            make_turn=self._make_turn,
            observer=self.observer,
            options=options or ConnectionOptions(),
        )

    def _make_listener(self, on_event: Callable[[HearingEvent], None]) -> FakeListener:
        self.listeners.append(FakeListener(on_event))
        return self.listeners[-1]

    def _make_turn(self, turn_id: str, request: Request, context: TurnContext, output: DeviceOutput) -> FakeTurn:
        self.turns.append(FakeTurn(turn_id, request, context, output, self.script))
        return self.turns[-1]


class World(Stage):
    """One connection and everything around it. Use `async with`; inside, the handler runs."""

    def __init__(self, options: ConnectionOptions | None = None, version: int = 1) -> None:
        super().__init__(options)
        self.channel = FakeChannel()
        self.handler = ConnectionHandler(self.channel, CONTACT, SESSION_ID, version, self.services)
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "World":
        self._running = asyncio.create_task(self.handler.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.channel.vanish()
        await self.ended()

    async def ended(self) -> None:
        assert self._running is not None
        await asyncio.wait_for(self._running, 3600)

    @property
    def listener(self) -> FakeListener:
        (listener,) = self.listeners
        return listener

    @property
    def turn(self) -> FakeTurn:
        return self.turns[-1]

    def say(self, **fields: Any) -> None:
        self.channel.come(json.dumps(fields))

    async def greeted(self) -> None:
        self.say(type="hello", version=1, transport="websocket")
        await asyncio.sleep(0.01)
        self.channel.sent.clear()

    def announced(self) -> list[str]:
        return [turn.request.text for turn in self.turns if isinstance(turn.request, AnnounceRequest)]

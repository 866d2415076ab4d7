"""The life of one device's connection: hello, routing, silence, close. What is said in between is the `Conversation`'s
business. One bad message never ends a session.
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Protocol

from loguru import logger

from .bounds import Bound
from .conversation import Conversation, ConversationOptions, ListenerFactory, TurnFactory
from .device_socket import LEFT, Channel, Message
from .idle import IdleTimer
from .ports import DeviceContact
from .session import Session, SessionServices
from .turn.inputs import TurnOutcome
from .wire import messages
from .wire.frames import MAX_PACKET_BYTES, OVERSIZE, FrameCodec
from .wire.messages import Abort, Goodbye, Hello, Listen, Ping, Unknown, Unusable, parse_device_message

NORMAL = 1000
GOING_AWAY = 1001
POLICY_VIOLATION = 1008

# Devices forget a channel on which the server sent nothing for 120 s, and lose the next wake-up over it.
SIGN_OF_LIFE_S = 100.0
# After a power cut all devices come back at once. Nobody has finished a sentence by then.
WARM_UP_AFTER_S = 0.25


class ConnectionObserver(Protocol):
    """Counts. Every method returns at once and never raises."""

    def connection_opened(self) -> None: ...

    def connection_closed(self, reason: str) -> None: ...

    def message_ignored(self, reason: str) -> None: ...

    def turn_over(self, outcome: TurnOutcome) -> None: ...

    def bound_reached(self, bound: Bound) -> None: ...


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    sample_rate: int = 24_000
    frame_ms: int = 60
    hello_timeout_s: float = 10.0
    idle_close_s: float = 90.0
    goodbye_when_idle: bool = True
    max_audio_frame_bytes: int = MAX_PACKET_BYTES
    conversation: ConversationOptions = field(default_factory=ConversationOptions)


@dataclass(frozen=True, slots=True)
class ConnectionServices:
    """What all connections share."""

    session: SessionServices
    make_listener: ListenerFactory
    make_turn: TurnFactory
    observer: ConnectionObserver
    options: ConnectionOptions = field(default_factory=ConnectionOptions)


class ConnectionHandler:
    """Construct it within the log context of its device and session: its tasks keep that context."""

    def __init__(
        self,
        channel: Channel,
        contact: DeviceContact,
        session_id: str,
        protocol_version: int,
        services: ConnectionServices,
    ) -> None:
        self._channel = channel
        self._contact = contact
        self._services = services
        self._options = services.options
        self._codec = FrameCodec(protocol_version, self._options.max_audio_frame_bytes)
        self._session = Session(session_id, contact, services.session)
        self._conversation: Conversation | None = None
        self._tasks = asyncio.TaskGroup()
        self._context = contextvars.copy_context()
        self._hello_timer = IdleTimer(self._options.hello_timeout_s, self._on_no_hello)
        self._idle_timer = IdleTimer(self._options.idle_close_s, self._on_idle)
        self._warm_up_timer: asyncio.TimerHandle | None = None
        self._sign_of_life = IdleTimer(SIGN_OF_LIFE_S, self._on_long_silence)
        self._ignored: Counter[str] = Counter()
        self._close_reason: str | None = None
        self._leaving = False

    @property
    def device_id(self) -> str:
        return self._contact.device_id

    async def run(self) -> None:
        """Returns when the socket is closed and everything that belongs to the connection has ended."""
        self._services.observer.connection_opened()
        try:
            async with self._tasks:
                try:
                    self._hello_timer.start()
                    self._channel.attach(self._receive_in_context)
                    self._note_end(await self._channel.wait_closed())
                finally:
                    await self._end()
        finally:
            reason = self._close_reason or LEFT
            await self._session.close(reason)
            self._services.observer.connection_closed(reason)
            logger.info("closed: {}{}", reason, f", ignored: {dict(self._ignored)}" if self._ignored else "")

    def drop(self, reason: str) -> None:
        """End the TCP connection at once, without a close handshake: the other end is probably gone."""
        self._note_end(reason)
        self._channel.abort()

    def leave(self) -> None:
        """The server goes down: close as soon as the current turn is over."""
        self._leaving = True
        self._close_if_leaving()

    def on_activity(self) -> None:
        self._idle_timer.touch()

    def on_turn_over(self, outcome: TurnOutcome, *, farewell: bool) -> None:
        self._services.observer.turn_over(outcome)
        if farewell:
            self._close(NORMAL, "said goodbye")
        self._close_if_leaving()

    def on_too_many_turns(self) -> None:
        self._ignore("too many turns")
        self._services.observer.bound_reached("turns_per_minute")

    async def _end(self) -> None:
        self._note_end(LEFT)
        for timer in (self._hello_timer, self._idle_timer, self._sign_of_life):
            timer.stop()
        if self._warm_up_timer is not None:
            self._warm_up_timer.cancel()
        if self._conversation is not None:
            await self._conversation.close()

    def _receive_in_context(self, message: Message) -> None:
        self._context.run(self._receive, message)

    def _receive(self, message: Message) -> None:
        try:
            if isinstance(message, str):
                self._read(message)
            else:
                self._hear(message)
        except Exception as error:  # noqa: BLE001 - the boundary of a message: the session goes on
            self._ignore(f"failed with {type(error).__name__}")
            logger.opt(exception=True).debug("a message could not be handled")

    def _hear(self, frame: bytes) -> None:
        if self._conversation is None:
            self._ignore("sound before hello")
            return
        decoded = self._codec.decode(frame)
        if isinstance(decoded, Unusable):
            self._ignore(decoded.reason)
            if decoded.reason == OVERSIZE:
                self._services.observer.bound_reached("max_audio_frame_bytes")
        else:
            self._conversation.hear(decoded.packet)

    def _read(self, text: str) -> None:
        match parse_device_message(text):
            case Hello() as hello:
                self._greet(hello)
            case Unusable(reason):
                self._ignore(reason)
            case Ping():
                self._send(messages.pong(self._session.id))
            case Goodbye():
                self._close(NORMAL, "device said goodbye")
            case _ if self._conversation is None:
                self._ignore("message before hello")
            case Listen() as listen:
                self._conversation.listen(listen)
            case Abort():
                self._conversation.abort()
            case Unknown(kind):
                self._ignore("unknown type")
                logger.debug("the unknown type is {!r}", kind)
            case other:
                self._ignore(f"unused type {type(other).__name__}")

    def _greet(self, hello: Hello) -> None:
        """Answered at once and once: devices latch a second hello and believe their next connection greeted."""
        if self._conversation is not None:
            self._ignore("second hello")
            return
        self._hello_timer.stop()
        self._send(messages.hello(self._session.id, self._options.sample_rate, self._options.frame_ms))
        self._idle_timer.start()
        self._sign_of_life.start()
        self._conversation = Conversation(
            self._session,
            self._codec,
            self._options.conversation,
            self._services.make_listener,
            self._services.make_turn,
            send=self._send,
            spawn=self._spawn,
            events=self,
        )
        self._warm_up_timer = asyncio.get_running_loop().call_later(WARM_UP_AFTER_S, self._start_warm_up)
        if hello.audio.format != "opus":
            logger.warning("the device announces a sound format other than Opus: what it says will not be understood")
        logger.debug("hello: version {}, {}, {}", hello.version, hello.audio, sorted(hello.features))

    def _start_warm_up(self) -> None:
        """What the first turn needs is loaded ahead of it, but after the hellos of all who came at the same time."""
        self._spawn(self._warm_up(), "warm-up")

    async def _warm_up(self) -> None:
        context = await self._session.context()
        logger.info("connected to agent {}", context.binding.agent.name)

    def _send(self, message: Message) -> None:
        self._sign_of_life.touch()
        self._channel.send(message)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Callbacks come from other contexts too (hearing serves many devices): tasks always get our own."""
        return self._tasks.create_task(work, name=name, context=self._context.copy())

    def _close(self, code: int, reason: str) -> None:
        if self._close_reason is None:
            self._close_reason = reason
            self._spawn(self._channel.close(code, reason), "close")

    def _note_end(self, reason: str) -> None:
        """The first reason counts: what follows is its consequence."""
        self._close_reason = self._close_reason or reason

    def _close_if_leaving(self) -> None:
        if self._leaving and not (self._conversation is not None and self._conversation.busy):
            self._close(GOING_AWAY, "server stops")

    def _on_no_hello(self) -> None:
        self._services.observer.bound_reached("hello_timeout_s")
        self._close(POLICY_VIOLATION, "no hello")

    def _on_idle(self) -> None:
        if self._conversation is None or self._conversation.busy:
            return
        if self._options.goodbye_when_idle and self._conversation.open_microphone:
            self._conversation.say_goodbye()
        else:
            self._close(NORMAL, "idle")

    def _on_long_silence(self) -> None:
        self._send(messages.pong(self._session.id))

    def _ignore(self, reason: str) -> None:
        """One log line a reason: a device that repeats itself does not fill the log."""
        self._ignored[reason] += 1
        self._services.observer.message_ignored(reason)
        if self._ignored[reason] == 1:
            logger.info("ignored: {}", reason)

"""Who has the floor: the device that listens or speaks, and the one turn that is current. All rules of barge-in live
here. Knows neither the socket nor JSON.

Every method returns at once. What a turn sends goes through its own `TurnOutput`, which is shut before the turn is
cancelled, so that nothing of an old turn can reach the device late.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from loguru import logger

from .bounds import Allowance
from .device_socket import Message
from .hearing.events import HearingEvent, ListenMode, SpeechStarted, UtteranceEnded
from .phrases import phrase_set
from .session import Session
from .texts import Phrase, phrase
from .turn.inputs import AnnounceRequest, Request, SpokenRequest, TurnContext, TurnOutcome, TypedRequest
from .turn.output import DeviceOutput
from .turn_output import Phase, TurnOutput
from .wire.frames import FrameCodec
from .wire.messages import Listen, tts_stop

# How long a turn waits for the one that it interrupts to put down what was heard of it.
HANDOVER_S = 0.1


class DeviceListener(Protocol):
    """The ear. All its methods return at once."""

    @property
    def mode(self) -> ListenMode | None: ...

    def start(self, mode: ListenMode) -> None: ...

    def stop(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def discard_wake_burst(self) -> None: ...

    def feed(self, packet: bytes) -> None: ...

    async def close(self) -> None: ...


class RunnableTurn(Protocol):
    async def run(self) -> TurnOutcome: ...


ListenerFactory = Callable[[Callable[[HearingEvent], None]], DeviceListener]
TurnFactory = Callable[[str, Request, TurnContext, DeviceOutput], RunnableTurn]
Spawn = Callable[[Coroutine[None, None, None], str], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """`fresh_turn_s`: a turn that a `detect` began is not cancelled by the `listen start` that comes with it.

    An empty greeting or goodbye is our own text in the agent's language.
    """

    wake_words: tuple[str, ...] = ()
    greet: bool = False
    greeting: str = ""
    goodbye: str = ""
    fresh_turn_s: float = 1.0
    turns_per_minute: int = 120


class ConversationEvents(Protocol):
    """What the connection is told."""

    def on_activity(self) -> None: ...

    def on_turn_over(self, outcome: TurnOutcome, *, farewell: bool) -> None:
        """A turn has ended, one way or another. After a farewell that was spoken the device may go."""
        ...

    def on_too_many_turns(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _CurrentTurn:
    output: TurnOutput
    task: asyncio.Task[None]
    fresh_until: float


class Conversation:
    def __init__(
        self,
        session: Session,
        codec: FrameCodec,
        options: ConversationOptions,
        make_listener: ListenerFactory,
        make_turn: TurnFactory,
        *,
        send: Callable[[Message], None],
        spawn: Spawn,
        events: ConversationEvents,
    ) -> None:
        self._session = session
        self._codec = codec
        self._options = options
        self._make_turn = make_turn
        self._send = send
        self._spawn = spawn
        self._events = events
        self._wake_words = phrase_set(options.wake_words)
        self._listener = make_listener(self._on_hearing)
        self._turn: _CurrentTurn | None = None
        self._waiting: SpokenRequest | None = None
        self._turns_left = Allowance(options.turns_per_minute / 60, options.turns_per_minute)

    @property
    def busy(self) -> bool:
        """A turn is thinking or speaking."""
        return self._turn is not None

    @property
    def open_microphone(self) -> bool:
        """The device listens without anybody holding a button: it will never stop by itself."""
        return self._listener.mode in ("auto", "realtime")

    def hear(self, packet: bytes) -> None:
        self._listener.feed(packet)

    def listen(self, message: Listen) -> None:
        self._events.on_activity()
        if message.state == "start":
            self._start_listening(message.mode)
        elif message.state == "stop":
            self._listener.stop()
        else:
            self._detected(message.text)

    def abort(self) -> None:
        """Always answered with a stop: a device in doubt stays in Speaking until it gets one."""
        self._events.on_activity()
        if self._turn is None:
            self._send(tts_stop(self._session.id))
        else:
            self._interrupt(always_stop=True)

    def say_goodbye(self) -> None:
        text = self._options.goodbye or phrase(Phrase.GOODBYE, self._session.language)
        self._begin(AnnounceRequest(text), farewell=True)

    async def close(self) -> None:
        """Nothing is heard or said after this. The turns' own tasks end by themselves."""
        self._interrupt()
        await self._listener.close()

    def _start_listening(self, mode: ListenMode) -> None:
        if self._turn is not None and self._now() >= self._turn.fresh_until:
            self._interrupt()
        self._waiting = None
        self._listener.start(mode)
        if self._turn is not None and self._turn.output.phase is Phase.SPEAKING:
            self._half_duplex()

    def _detected(self, text: str) -> None:
        """A wake word, or what somebody typed."""
        self._listener.discard_wake_burst()
        if text and text not in self._wake_words:
            self._begin(TypedRequest(text), by_detect=True)
        elif self._options.greet and self._turn is None:
            greeting = self._options.greeting or phrase(Phrase.GREETING, self._session.language)
            self._begin(AnnounceRequest(greeting), by_detect=True)

    def _on_hearing(self, event: HearingEvent) -> None:
        if isinstance(event, SpeechStarted):
            self._events.on_activity()
            if self._listener.mode == "realtime":
                self._interrupt()
        elif isinstance(event, UtteranceEnded):
            self._events.on_activity()
            self._heard(SpokenRequest(event.pcm, event.sample_rate))

    def _heard(self, request: SpokenRequest) -> None:
        """While a turn still thinks, what is heard waits: if that turn was only noise, it is the real question."""
        if self._turn is None:
            self._begin(request)
        else:
            self._waiting = request

    def _begin(self, request: Request, *, by_detect: bool = False, farewell: bool = False) -> None:
        if not isinstance(request, AnnounceRequest) and not self._turns_left.take():
            self._events.on_too_many_turns()
            return
        previous = self._turn.task if self._turn is not None else None
        self._interrupt()
        output = TurnOutput(self._session.id, self._codec, self._send, self._on_start, self._on_stop)
        turn_id = str(uuid4())
        task = self._spawn(self._run(turn_id, request, output, previous, farewell), f"turn {turn_id}")
        fresh_until = self._now() + self._options.fresh_turn_s if by_detect else 0.0
        self._turn = _CurrentTurn(output, task, fresh_until)

    def _interrupt(self, *, always_stop: bool = False) -> None:
        self._waiting = None
        turn = self._turn
        if turn is not None:
            turn.output.end(always_stop=always_stop)
            turn.task.cancel()

    async def _run(
        self,
        turn_id: str,
        request: Request,
        output: TurnOutput,
        previous: asyncio.Task[None] | None,
        farewell: bool,
    ) -> None:
        outcome, went_through = None, False
        with logger.contextualize(turn=turn_id):
            try:
                if previous is not None:
                    await asyncio.wait({previous}, timeout=HANDOVER_S)
                outcome = await self._perform(turn_id, request, output)
                went_through = outcome is None or outcome.kind != "interrupted"
            finally:
                output.end()
                is_last = farewell or (outcome is not None and outcome.farewell)
                self._events.on_turn_over(
                    outcome or TurnOutcome("failed" if went_through else "interrupted"),
                    farewell=is_last and went_through,
                )

    async def _perform(self, turn_id: str, request: Request, output: TurnOutput) -> TurnOutcome | None:
        try:
            context = await self._session.context()
            return await self._make_turn(turn_id, request, context, output).run()
        except Exception as error:  # noqa: BLE001 - the boundary of a turn: the next one must work
            logger.error("the turn failed: {}", type(error).__name__)
            logger.opt(exception=True).debug("where it failed")
            return None

    def _on_start(self, _: TurnOutput) -> None:
        """The device speaks from now on; what was being said to it meanwhile is not an answer to this."""
        self._waiting = None
        self._half_duplex()

    def _half_duplex(self) -> None:
        if self._listener.mode != "realtime":
            self._listener.pause()

    def _on_stop(self, output: TurnOutput) -> None:
        if self._turn is None or self._turn.output is not output:
            return
        self._turn = None
        self._listener.resume()
        self._events.on_activity()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._begin(waiting)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

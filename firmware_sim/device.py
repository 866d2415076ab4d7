"""The simulated device: boots, connects, listens, speaks and hangs up as the firmware's state machine does.

Written from the protocol contract alone; it knows nothing of the server's code.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from types import TracebackType
from typing import Literal, Self

from firmware_sim.bootstrap import Activation, BootAnswer, Bootstrap, Identity, Storage, client_id_for
from firmware_sim.channel import Channel, Json, Receiver
from firmware_sim.errors import (
    ChannelClosedError,
    ConnectError,
    DeviceCrashError,
    FirmwareError,
    MessageTooLongError,
    NoReplyError,
    UnansweredError,
)
from firmware_sim.handshake import Habits, SessionParams
from firmware_sim.mailbox import Mailbox
from firmware_sim.microphone import Microphone
from firmware_sim.opus import encode_speech, packet_duration_ms
from firmware_sim.reply import Reply, ReplyRecorder
from firmware_sim.tools import Hardware, Tool, ToolServer, standard_tools
from firmware_sim.websocket import ServerClose

__all__ = ["DEFAULT_OTA_URL", "Habits", "Identity", "Mode", "Reply", "SimulatedDevice", "State"]

DEFAULT_OTA_URL = "http://127.0.0.1:8003/xiaozhi/ota/"
CHANNEL_DEAD_AFTER_S = 120.0
MAX_WAKE_PACKETS = 33
REPLY_TIMEOUT_S = 30.0

Mode = Literal["auto", "manual", "realtime"]


class State(StrEnum):
    STARTING = "starting"
    IDLE = "idle"
    CONNECTING = "connecting"
    LISTENING = "listening"
    SPEAKING = "speaking"


class SimulatedDevice:
    """One device. Use it as a context manager, or call `hang_up` when done."""

    def __init__(
        self,
        ota_url: str = DEFAULT_OTA_URL,
        *,
        mac: str | None = None,
        client_id: str | None = None,
        identity: Identity | None = None,
        habits: Habits | None = None,
        tools: Sequence[Tool] = (),
    ) -> None:
        mac = mac or random_mac()
        self.identity = identity or Identity(mac, client_id or client_id_for(mac))
        self.habits = habits or Habits()
        self.hardware = Hardware()
        self.tools = ToolServer(
            [*standard_tools(self.hardware), *tools],
            name=self.identity.board,
            version=self.identity.firmware_version,
        )
        self.storage = Storage()
        self.state = State.STARTING
        self.crashed: DeviceCrashError | None = None
        self.violations: deque[str] = deque(maxlen=100)
        self.dropped_frames = 0
        self._bootstrap = Bootstrap(ota_url, self.identity)
        self._mode: Mode = "auto"
        self._channel = Channel(
            self.identity,
            self.habits,
            self.storage,
            Receiver(self._take_message, self._take_audio, self._channel_ended, self.violations.append),
        )
        self._microphone = Microphone(
            self.send_audio,
            frame_ms=self.habits.frame_ms,
            warm_up_s=self.habits.warm_up_s,
            speed=self.habits.mic_speed,
        )
        self._while_connecting: deque[Json] = deque(maxlen=100)
        self._speaking = asyncio.Event()
        self._asked: ReplyRecorder | None = None
        self._spoken: ReplyRecorder | None = None
        self._asked_at_s = 0.0
        self._messages: Mailbox[Json] = Mailbox(200)
        self._replies: Mailbox[tuple[ReplyRecorder, Reply]] = Mailbox(8)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hang_up()

    # --- boot and connection ---

    async def boot(
        self,
        *,
        attempts: int = 1,
        activation_rounds: int = 10,
        on_activation: Callable[[Activation], None] | None = None,
    ) -> BootAnswer:
        """Ask the OTA address, wait through an activation, and keep the settings. Hardware makes ten attempts."""
        try:
            answer = await self._bootstrap.request(attempts)
            answer = await self._bootstrap.activate(
                answer, rounds=activation_rounds, attempts=attempts, announce=on_activation
            )
        except DeviceCrashError as crash:
            self.crashed = crash
            raise
        self.crashed = None
        self.storage.keep(answer)
        self.state = State.IDLE
        return answer

    @property
    def session(self) -> SessionParams:
        return self._channel.session

    @property
    def session_id(self) -> str:
        return self.session.session_id

    @property
    def connected(self) -> bool:
        return self._channel.is_open

    @property
    def server_hello(self) -> Json | None:
        return self._channel.server_hello

    @property
    def server_close(self) -> ServerClose | None:
        return self._channel.server_close

    @property
    def received(self) -> Sequence[Json]:
        """The last thousand messages of the server."""
        return self._channel.received

    async def connect(self) -> None:
        """Open the voice channel and exchange hellos; an old channel is dropped."""
        if self.crashed:
            raise self.crashed
        if self.state is State.STARTING:
            raise ConnectError("the device has not booted")
        await self._let_go()
        self.state = State.CONNECTING
        try:
            await self._channel.connect()
            self._messages.open()
            self._replies.open()
            await self._channel.greet()
        except DeviceCrashError as crash:
            self.crashed = crash
            raise
        finally:
            if self.state is State.CONNECTING:
                self.state = State.IDLE
            self._catch_up()

    async def hang_up(self) -> None:
        """End it as the button or a lost network does: TCP goes away without a Close frame."""
        await self._let_go()
        if self.state is not State.STARTING:
            self.state = State.IDLE

    async def vanish(self) -> None:
        """Lose power: TCP is reset."""
        self._channel.abort()
        await self.hang_up()

    # --- conversation ---

    async def say_text(self, text: str, *, timeout_s: float = REPLY_TIMEOUT_S) -> Reply:
        """A typed turn: the text goes as `detect`, and the device stays idle after the answer.

        `UnansweredError`: the channel went away before an answer began; said again, it opens a new one.
        """
        await self._wake_channel()
        self._microphone.switch_off()
        self._mode = "manual"
        if self.state is State.LISTENING:
            self.state = State.IDLE
        self.send_json(session_id=self.session_id, type="listen", state="detect", text=text)
        recorder = self._ask()
        return await self._answer_to(recorder, timeout_s)

    async def say_pcm(
        self, pcm: bytes, *, mode: Mode = "auto", sample_rate: int = 16_000, timeout_s: float = REPLY_TIMEOUT_S
    ) -> Reply:
        """Say s16le mono sound and wait for the answer."""
        packets = encode_speech(pcm, sample_rate=sample_rate, frame_ms=self.habits.frame_ms)
        return await self.say_packets(packets, mode=mode, timeout_s=timeout_s)

    async def say_packets(
        self, packets: Sequence[bytes], *, mode: Mode = "auto", timeout_s: float = REPLY_TIMEOUT_S
    ) -> Reply:
        """Say what is Opus already. The answer's times count from the last packet, or from `listen stop`."""
        if not self.connected or self.state is not State.LISTENING or self._mode != mode:
            await self.listen_start(mode)
        recorder = self._ask()
        await self.speak(packets)
        if mode == "manual":
            self.listen_stop()
        recorder.asked_at_s = self._asked_at_s
        return await self._answer_to(recorder, timeout_s)

    async def speak(self, packets: Sequence[bytes]) -> None:
        """Say packets into the live microphone, in its own time; returns when the last one went out."""
        await self._microphone.speak(packets)
        self._asked_at_s = self._microphone.last_spoken_at_s

    async def listen_start(self, mode: Mode = "auto") -> None:
        """Press the button: the microphone goes live. While the device speaks, that also aborts and flushes."""
        await self._wake_channel()
        if self.state is State.SPEAKING:
            self.abort()
            self._interrupt(flush=True)
        await self._go_live(mode)

    def listen_stop(self) -> None:
        """Release the button."""
        self._microphone.switch_off()
        self._asked_at_s = self._now()
        self._send_message('"type":"listen","state":"stop"')
        if self.state is State.LISTENING:
            self.state = State.IDLE

    async def wake(self, text: str = "你好小智", *, packets: Sequence[bytes] = (), mode: Mode = "auto") -> None:
        """The wake word was heard; `packets` is the sound of it, sent in a burst before the detection."""
        await self._wake_channel()
        if self.state is State.IDLE:
            for packet in packets[:MAX_WAKE_PACKETS]:
                self.send_audio(packet)
            self._asked_at_s = self._now()
            # The firmware pastes the text in as it is: a quote in it makes the message invalid JSON.
            self._send_message(f'"type":"listen","state":"detect","text":"{text}"')
            await self._go_live(mode)
            return
        self.abort("wake_word_detected")
        await self._go_live(mode, after=self._interrupt(flush=mode == "realtime"))

    def abort(self, reason: str | None = None) -> None:
        """Press the button while it speaks: the device goes on speaking until the server's `tts stop`."""
        if self._spoken is not None:
            self._spoken.aborted = True
        self._send_message('"type":"abort"' + (f',"reason":"{reason}"' if reason else ""))

    async def next_reply(self, *, timeout_s: float = REPLY_TIMEOUT_S) -> Reply:
        """The next finished reply that no `say_…` waits for: a greeting, a goodbye, the answer to a wake word."""
        try:
            async with asyncio.timeout(timeout_s):
                return (await self._replies.get(lambda _: True))[1]
        except TimeoutError as error:
            raise NoReplyError(f"no reply within {timeout_s:g} s") from error

    async def wait_message(self, kind: str, *, timeout_s: float = 5.0, **fields: object) -> Json:
        """The next message of a type with these fields, also when it came already and nobody asked for it."""
        async with asyncio.timeout(timeout_s):
            return await self._messages.get(lambda message: _matches(message, kind, fields))

    async def wait_live(self, *, timeout_s: float = 5.0) -> None:
        """Wait until the microphone is open and the server was told, as after a reply in auto mode."""
        async with asyncio.timeout(timeout_s):
            await self._microphone.live()

    async def wait_speaking(self, *, timeout_s: float | None = 5.0) -> None:
        """Wait until a reply has begun."""
        async with asyncio.timeout(timeout_s):
            await self._speaking.wait()

    async def wait_closed(self, *, timeout_s: float = 5.0) -> ServerClose | None:
        """Wait until the server ended TCP; its Close frame, if there was one."""
        async with asyncio.timeout(timeout_s):
            await self._channel.wait_ended()
        return self.server_close

    def forget_messages(self) -> None:
        """From now on `wait_message` and `next_reply` look at what comes later only."""
        self._messages.clear()
        self._replies.clear()

    # --- the wire, for tests that want to misbehave ---

    def send_json(self, **message: object) -> None:
        self.send_text(json.dumps(message, ensure_ascii=False, separators=(",", ":")))

    def send_text(self, text: str) -> None:
        self._channel.send_text(text)

    def send_audio(self, packet: bytes, timestamp_ms: int = 0) -> None:
        self._channel.send_audio(packet, timestamp_ms)

    def send_binary(self, data: bytes) -> None:
        self._channel.send_binary(data)

    # --- the channel ---

    def _send_message(self, fields: str) -> None:
        """The firmware writes its messages by hand: the session id goes in unescaped."""
        self.send_text(f'{{"session_id":"{self.session_id}",{fields}}}')

    async def _wake_channel(self) -> None:
        """The channel as it is at the next use: a silent one counts as dead after 120 seconds."""
        if self.connected and self._channel.silent_s > CHANNEL_DEAD_AFTER_S:
            self.violations.append("the channel was silent for over 120 s: real hardware loses this wake-up")
            await self._let_go()
        if not self.connected:
            await self.connect()

    async def _let_go(self) -> None:
        """Drop the websocket and everything that ran on it."""
        await self._channel.drop()
        self._lost(ChannelClosedError("the device hung up"))

    def _lost(self, error: FirmwareError) -> None:
        self._microphone.switch_off()
        self._speaking.clear()
        self._asked = self._spoken = None
        self._messages.close(error)
        self._replies.close(error)

    def _channel_ended(self, error: FirmwareError) -> None:
        if isinstance(error, DeviceCrashError):
            self.crashed = error
            self.state = State.STARTING
        elif self.state not in (State.CONNECTING, State.STARTING):
            self.state = State.IDLE
        self._lost(error)

    # --- messages of the server ---

    def _take_message(self, message: Json) -> None:
        """Messages wait for the main task; audio does not."""
        delay_s = self.habits.main_task_delay_s
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._in_main_task, self._channel.number, message)
        else:
            self._in_main_task(self._channel.number, message)

    def _in_main_task(self, channel_number: int, message: Json) -> None:
        if channel_number != self._channel.number:
            return
        if self.state is State.CONNECTING:
            self._while_connecting.append(message)  # connecting blocks the main task
            return
        self._handle(message)

    def _catch_up(self) -> None:
        while self._while_connecting:
            self._handle(self._while_connecting.popleft())

    def _handle(self, message: Json) -> None:
        handlers: dict[str, Callable[[Json], None]] = {
            "stt": self._on_stt,
            "llm": self._on_llm,
            "tts": self._on_tts,
            "mcp": self._on_mcp,
            "alert": self._on_alert,
            "system": self._on_system,
        }
        handler = handlers.get(message["type"])
        if handler is None:
            self.violations.append(f"a message of type {message['type']!r} means nothing to the device")
        else:
            handler(message)
        self._messages.put(message)

    def _on_stt(self, message: Json) -> None:
        if self._asked is None:
            self._asked = self._new_recorder()
        self._asked.heard(str(message.get("text")), self._now())

    def _on_llm(self, message: Json) -> None:
        recorder = self._spoken or self._asked
        if recorder is not None and isinstance(message.get("emotion"), str):
            recorder.emotion = message["emotion"]

    def _on_alert(self, message: Json) -> None:
        if not all(isinstance(message.get(key), str) for key in ("status", "message", "emotion")):
            self.violations.append("an alert needs status, message and emotion as strings")
            return
        recorder = self._spoken or self._asked
        if recorder is not None:
            recorder.alerts.append(message["message"])

    def _on_system(self, message: Json) -> None:
        if message.get("command") == "reboot":
            self._channel.hang_up()
            self.state = State.STARTING

    def _on_mcp(self, message: Json) -> None:
        if not self.habits.mcp:
            self.violations.append("an mcp message to a device without tools")
            return
        answer = self.tools.answer(message.get("payload"))
        if answer is None:
            return
        try:
            self._send_message(f'"type":"mcp","payload":{answer}')
        except ChannelClosedError:
            return
        except MessageTooLongError as error:
            self.violations.append(str(error))
            self.state = State.IDLE

    def _on_tts(self, message: Json) -> None:
        match message.get("state"):
            case "start":
                self._on_tts_start()
            case "stop":
                self._on_tts_stop()
            case "sentence_start":
                recorder = self._spoken or self._asked
                if recorder is not None and isinstance(message.get("text"), str):
                    recorder.sentences.append(message["text"])

    def _on_tts_start(self) -> None:
        if self.state is State.SPEAKING:
            self.violations.append("tts start while it speaks already")
            return
        if self._mode != "realtime":
            self._microphone.switch_off()
        self._spoken, self._asked = self._asked or self._new_recorder(), None
        self._spoken.start(self.session.sample_rate, self.session.frame_ms, self._now())
        self.state = State.SPEAKING
        self._speaking.set()

    def _on_tts_stop(self) -> None:
        if self.state is not State.SPEAKING:
            return
        recorder = self._interrupt(flush=False)
        self.state = State.IDLE
        if self._mode != "manual":
            self._listen(self._mode, after=recorder)

    def _take_audio(self, packet: bytes) -> None:
        recorder = self._spoken
        if self.state is not State.SPEAKING or recorder is None:
            self.dropped_frames += 1
            if self._asked is not None:
                self._asked.dropped += 1
            return
        if not 0 < packet_duration_ms(packet) <= self.session.frame_ms:
            recorder.unplayable += 1
            return
        recorder.playback.push(packet, self._now())

    # --- asking and listening ---

    def _new_recorder(self) -> ReplyRecorder:
        return ReplyRecorder(self.session.sample_rate, self.session.frame_ms, self._asked_at_s or self._now())

    def _ask(self) -> ReplyRecorder:
        self._asked_at_s = self._now()
        self._asked = self._new_recorder()
        return self._asked

    async def _answer_to(self, recorder: ReplyRecorder, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                return (await self._replies.get(lambda finished: finished[0] is recorder))[1]
        except ChannelClosedError as error:
            if recorder.start_at_s is None:
                raise UnansweredError(str(error)) from error
            raise
        except TimeoutError as error:
            raise NoReplyError(f"no finished reply within {timeout_s:g} s: {recorder.snapshot().report()}") from error
        finally:
            if self._asked is recorder:
                self._asked = None

    def _interrupt(self, *, flush: bool) -> ReplyRecorder | None:
        """The reply is over for the device; a `tts stop` that finds it listening will mean nothing."""
        self._speaking.clear()
        recorder, self._spoken = self._spoken, None
        if recorder is None:
            return None
        if flush:
            recorder.playback.flush(self._now())
        recorder.stop_at_s = self._now()
        self._replies.put((recorder, recorder.snapshot()))
        return recorder

    async def _go_live(self, mode: Mode, *, after: ReplyRecorder | None = None) -> None:
        self._microphone.switch_off()
        self._listen(mode, after=after)
        await self._microphone.live()

    def _listen(self, mode: Mode, *, after: ReplyRecorder | None) -> None:
        """Enter listening. A running microphone goes on; in auto mode one that starts lets the playback end first."""
        self._mode = mode
        self.state = State.LISTENING
        if self._microphone.is_on:
            return
        wait_s = after.playback.empty_at_s - self._now() if after is not None and mode == "auto" else 0
        start = f'"type":"listen","state":"start","mode":"{mode}"'
        self._microphone.switch_on(lambda: self._send_message(start), wait_s=wait_s)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def random_mac() -> str:
    """A locally administered address."""
    return ":".join(["02", *(f"{random.randrange(256):02x}" for _ in range(5))])


def _matches(message: Json, kind: str, fields: dict[str, object]) -> bool:
    return message["type"] == kind and all(message.get(key) == value for key, value in fields.items())

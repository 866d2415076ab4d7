"""Everything that one turn sends passes here. It keeps the promises of the protocol whatever the turn does: one start,
one stop, sound only between them, and nothing at all once the turn is over.
"""

from collections.abc import Callable
from enum import Enum, auto

from loguru import logger

from .device_socket import Message
from .wire.frames import FrameCodec
from .wire.messages import tts_start, tts_stop


class Phase(Enum):
    THINKING = auto()
    SPEAKING = auto()
    OVER = auto()


class TurnOutput:
    """Implements `DeviceOutput`. `on_start` and `on_stop` are told when the device has been told."""

    def __init__(
        self,
        session_id: str,
        codec: FrameCodec,
        send: Callable[[Message], None],
        on_start: Callable[["TurnOutput"], None],
        on_stop: Callable[["TurnOutput"], None],
    ) -> None:
        self._start = tts_start(session_id)
        self._stop = tts_stop(session_id)
        self._codec = codec
        self._send = send
        self._on_start = on_start
        self._on_stop = on_stop
        self._phase = Phase.THINKING

    @property
    def phase(self) -> Phase:
        return self._phase

    def send_text(self, message: str) -> None:
        if self._phase is Phase.OVER:
            return
        if message == self._stop:
            self.end(always_stop=True)
        elif message != self._start:
            self._send(message)
        elif self._phase is Phase.THINKING:
            self._phase = Phase.SPEAKING
            self._send(message)
            self._on_start(self)

    def send_audio(self, packet: bytes, timestamp_ms: int) -> None:
        if self._phase is not Phase.SPEAKING:
            return
        try:
            self._send(self._codec.encode(packet, timestamp_ms))
        except ValueError as error:
            logger.warning("dropped a packet of a turn: {}", error)

    def end(self, *, always_stop: bool = False) -> None:
        """Nothing passes after this. A device that was told to speak is told to stop, others if `always_stop`."""
        if self._phase is Phase.OVER:
            return
        must_stop = always_stop or self._phase is Phase.SPEAKING
        self._phase = Phase.OVER
        if must_stop:
            self._send(self._stop)
        self._on_stop(self)

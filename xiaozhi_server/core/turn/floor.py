"""Who has the floor has the device: the gate between a turn and its device. Once closed, nothing late gets through."""

from ..wire import messages
from .emotion import Face
from .output import DeviceOutput


class Floor:
    """Sends exactly one start and one stop, and nothing before the one or after the other."""

    def __init__(self, output: DeviceOutput, session_id: str) -> None:
        self._output = output
        self._session_id = session_id
        self._begun = False
        self._closed = False
        self._face_shown = False

    @property
    def is_speaking(self) -> bool:
        """The device has heard `start` and waits for `stop`."""
        return self._begun and not self._closed

    def show_heard(self, text: str) -> None:
        if not self._closed:
            self._output.send_text(messages.stt(self._session_id, text))

    def begin(self) -> None:
        """Take the device into speaking. As early as possible: it drops sound that comes while it changes over."""
        if not self._begun and not self._closed:
            self._begun = True
            self._output.send_text(messages.tts_start(self._session_id))

    def show_face(self, face: Face) -> None:
        """The first face is the one of this turn."""
        if self.is_speaking and not self._face_shown:
            self._face_shown = True
            self._output.send_text(messages.llm_emotion(self._session_id, face.emotion, face.emoji))

    def show_sentence(self, text: str) -> None:
        if self.is_speaking:
            self._output.send_text(messages.tts_sentence(self._session_id, text))

    def alert(self, status: str, message: str) -> None:
        if self.is_speaking:
            self._output.send_text(messages.alert(self._session_id, status, message, "sad"))

    def close(self) -> None:
        """Give the device back. Silent where it was never taken."""
        if self.is_speaking:
            self._output.send_text(messages.tts_stop(self._session_id))
        self._closed = True

"""Speaks the pieces of an answer in order, each asked of the voice ahead of its turn. All steps but the voice are
callbacks on the loop: no task waits for a frame.

Knows voice, stream and floor, nothing of models or of what becomes of the words.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from ..errors import NonsenseError, TurnError
from .answer import join_heard
from .floor import Floor
from .phrases import PhraseBook
from .playback import PacedStream
from .segment import Segment
from .voice import Voice

# One failure may be the fault of a single sentence. After two in a row the rest is only shown.
FAILURES_OF_A_DEAD_VOICE: Final = 2


class Speech:
    """`say` as much as comes, `finish`, then wait for `all_sent`."""

    def __init__(
        self,
        voice: Voice,
        stream: PacedStream,
        floor: Floor,
        phrases: PhraseBook,
        group: asyncio.TaskGroup,
        *,
        language: str,
        lead_in: Sequence[bytes],
        pieces_ahead: int,
        first_audio_timeout_s: float,
        on_first_audio: Callable[[], None],
    ) -> None:
        self._voice = voice
        self._stream = stream
        self._floor = floor
        self._phrases = phrases
        self._group = group
        self._language = language
        self._lead_in = tuple(lead_in)
        self._pieces_ahead = pieces_ahead
        self._first_audio_timeout_s = first_audio_timeout_s
        self._on_first_audio = on_first_audio
        self._segments: list[Segment] = []
        self._started = 0
        self._head = 0
        self._sent = 0
        self._failures_in_a_row = 0
        self._is_advancing = False
        self._is_finished = False
        self._all_sent = asyncio.Event()
        self.errors: list[TurnError] = []

    @property
    def has_words(self) -> bool:
        """Something other than the server's own phrases is to be spoken."""
        return any(not segment.is_own for segment in self._segments)

    def say(self, text: str) -> None:
        self._add(Segment(text, False, self._first_audio_timeout_s))

    def say_own(self, text: str, first_audio_timeout_s: float | None = None) -> None:
        """One of the server's phrases: kept for later, and no part of what is remembered."""
        self._add(Segment(text, True, first_audio_timeout_s or self._first_audio_timeout_s))

    def finish(self) -> None:
        self._is_finished = True
        self._check_end()

    async def all_sent(self) -> None:
        await self._all_sent.wait()

    def heard(self, played_frames: int) -> str:
        texts = (segment.heard(played_frames) for segment in self._segments if not segment.is_own)
        return join_heard([text for text in texts if text])

    def silent_text(self) -> str:
        """What could not be spoken, to be read instead."""
        return join_heard(
            [segment.text for segment in self._segments if segment.has_failed and not segment.made_frames]
        )

    def show_waiting(self) -> bool:
        """Show the text for which the voice keeps everybody waiting; False: there is none."""
        if self._head >= len(self._segments):
            return False
        self._show(self._segments[self._head])
        return True

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._start_more()

    def _start_more(self) -> None:
        while self._started < len(self._segments) and self._started - self._sent <= self._pieces_ahead:
            segment = self._segments[self._started]
            self._started += 1
            segment.is_started = True
            self._start(segment)

    def _start(self, segment: Segment) -> None:
        kept = self._phrases.get(segment.text, self._language) if segment.is_own else None
        if kept is not None:
            self._deliver(segment, list(kept))
            self._complete(segment)
        elif self._failures_in_a_row >= FAILURES_OF_A_DEAD_VOICE:
            segment.has_failed = True
            self._complete(segment)
        else:
            self._group.create_task(self._speak(segment))

    async def _speak(self, segment: Segment) -> None:
        made: list[bytes] = []

        def deliver(packets: list[bytes]) -> None:
            if segment.is_own:
                made.extend(packets)
            self._deliver(segment, packets)

        error = await self._voice.speak(segment.text, self._language, segment.first_audio_timeout_s, deliver)
        if error is not None:
            self._note_failure(segment, error)
        else:
            self._failures_in_a_row = 0
            if segment.is_own:
                self._phrases.put(segment.text, self._language, tuple(made))
        self._complete(segment)

    def _note_failure(self, segment: Segment, error: TurnError) -> None:
        self.errors.append(error)
        segment.has_failed = True
        if not isinstance(error, NonsenseError):
            self._failures_in_a_row += 1

    def _deliver(self, segment: Segment, packets: list[bytes]) -> None:
        segment.made_frames += len(packets)
        segment.waiting.extend(packets)
        self._advance()

    def _complete(self, segment: Segment) -> None:
        segment.is_complete = True
        self._advance()

    def _advance(self) -> None:
        """Queue what can be played in order. Marks call back in here: the outermost call goes on with what they did."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._head < len(self._segments) and self._queue(self._segments[self._head]):
                pass
        finally:
            self._is_advancing = False

    def _queue(self, segment: Segment) -> bool:
        """Queue what there is of the piece whose turn it is; True: that was all of it."""
        if not segment.waiting and not segment.is_complete:
            return False
        if not segment.is_queued:
            self._queue_beginning(segment)
        packets, segment.waiting = segment.waiting, []
        self._stream.add(packets)
        if segment.waiting or not segment.is_complete:
            return bool(segment.waiting)
        self._head += 1
        self._stream.mark(partial(self._segment_sent, segment))
        return True

    def _queue_beginning(self, segment: Segment) -> None:
        segment.is_queued = True
        if segment.waiting:
            self._stream.add(self._lead_in)
            self._lead_in = ()
        self._stream.mark(partial(self._segment_begins, segment))

    def _segment_begins(self, segment: Segment) -> None:
        segment.first_frame = self._stream.sent_frames
        if segment.made_frames:
            self._on_first_audio()
        self._show(segment)

    def _show(self, segment: Segment) -> None:
        if not segment.is_shown:
            segment.is_shown = True
            self._floor.show_sentence(segment.text)

    def _segment_sent(self, segment: Segment) -> None:
        segment.end_frame = self._stream.sent_frames
        self._sent += 1
        self._start_more()
        self._check_end()

    def _check_end(self) -> None:
        if self._is_finished and self._sent == len(self._segments):
            self._all_sent.set()

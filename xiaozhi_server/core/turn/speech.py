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

# One failure may be the fault of a single sentence. After two in a row the voice is asked no more in this answer.
FAILURES_OF_A_DEAD_VOICE: Final = 2
# The spare voice is on this machine.
SPARE_TIMEOUT_S: Final = 2.0


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
        spare: Voice | None = None,
    ) -> None:
        self._voice = voice
        self._spare = spare
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

    @property
    def is_waiting_for_voice(self) -> bool:
        """There is something to say, and no sound of it yet."""
        return self._head < len(self._segments)

    def bridge(self, text: str) -> None:
        """Say one of the server's phrases before the text for which the voice keeps everybody waiting.

        Where nobody can say it in time, that text is shown.
        """
        waiting = self._segments[self._head]
        kept = self._phrases.get(text, self._language)
        if waiting.is_queued:  # in the middle of a sentence nothing is put in between
            self._show(waiting)
        elif kept is not None:
            self._play_bridge(text, kept)
        elif self._spare is not None:
            self._group.create_task(self._bridge_by(self._spare, waiting, text))
        else:
            self._show(waiting)

    async def _bridge_by(self, spare: Voice, waiting: Segment, text: str) -> None:
        packets: list[bytes] = []
        error = await spare.speak(text, self._language, SPARE_TIMEOUT_S, packets.extend)
        if error is not None:
            self._show(waiting)
        elif not waiting.is_queued:  # else the voice has come meanwhile
            self._play_bridge(text, packets)

    def _play_bridge(self, text: str, packets: Sequence[bytes]) -> None:
        self._stream.add(self._lead_in)
        self._lead_in = ()
        self._stream.mark(partial(self._floor.show_sentence, text))
        self._stream.add(packets)

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
        elif self._is_voice_dead and self._spare is None:
            segment.has_failed = True
            self._complete(segment)
        else:
            self._group.create_task(self._speak(segment))

    @property
    def _is_voice_dead(self) -> bool:
        return self._failures_in_a_row >= FAILURES_OF_A_DEAD_VOICE

    async def _speak(self, segment: Segment) -> None:
        if not self._is_voice_dead:
            await self._speak_by_voice(segment)
        else:
            segment.has_failed = True
        if segment.has_failed and not segment.made_frames and self._spare is not None:
            await self._speak_by_spare(self._spare, segment)
        self._complete(segment)

    async def _speak_by_voice(self, segment: Segment) -> None:
        made: list[bytes] = []

        def deliver(packets: list[bytes]) -> None:
            if segment.is_own:
                made.extend(packets)
            self._deliver(segment, packets)

        error = await self._voice.speak(segment.text, self._language, segment.first_audio_timeout_s, deliver)
        if error is not None:
            self._note_failure(segment, error)
            return
        self._failures_in_a_row = 0
        if segment.is_own:
            self._phrases.put(segment.text, self._language, tuple(made))

    async def _speak_by_spare(self, spare: Voice, segment: Segment) -> None:
        """Not kept, even where it is a phrase of our own: the voice itself shall speak it as soon as it can."""
        error = await spare.speak(segment.text, self._language, SPARE_TIMEOUT_S, partial(self._deliver, segment))
        segment.has_failed = error is not None

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

"""One turn: what a person said or typed, its answer, and what was heard of it. One object and one task each.

Cancelling the task gives the device back at once; nothing late goes out. Knows ports, never a provider or a socket.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final

from loguru import logger

from ..audio.opus import silence_packet
from ..errors import NonsenseError, TurnError
from ..providers.memory.base import Memory
from ..texts import Phrase, phrase
from .answer import AnswerText, cut_whole
from .emotion import NEUTRAL_FACE, SAD_FACE
from .exchange import build_exchange, error_names
from .floor import Floor
from .inputs import (
    AnnounceRequest,
    OutcomeKind,
    Request,
    SpokenRequest,
    TurnContext,
    TurnOptions,
    TurnOutcome,
    TurnServices,
    TypedRequest,
)
from .output import DeviceOutput
from .patience import Patience
from .prompt import build_messages
from .speech import Speech
from .stages import recall, think, transcribe
from .utterance import Utterance, typed
from .warm import make_spare_voice, make_voice

__all__ = [
    "AnnounceRequest",
    "Request",
    "SpokenRequest",
    "Turn",
    "TurnContext",
    "TurnOptions",
    "TurnOutcome",
    "TurnServices",
    "TypedRequest",
]

# A filler that needs longer than this for its first sound is shown as text: people wait two seconds, not more.
FILLER_TIMEOUT_S: Final = 0.4
MAX_ALERT_CHARS: Final = 300
# Mostly enough to write down an interrupted turn, so that the next one already remembers it.
HANDOVER_S: Final = 0.2


class Turn:
    """`run` it in a task of its own. `outcome` is there afterwards, for a cancelled turn too."""

    def __init__(
        self, turn_id: str, request: Request, context: TurnContext, services: TurnServices, output: DeviceOutput
    ) -> None:
        options = services.options
        self.turn_id = turn_id
        self.outcome: TurnOutcome | None = None
        self._request = request
        self._context = context
        self._services = services
        self._options = options
        self._floor = Floor(output, context.session_id)
        self._stream = services.pacer.open(output, frame_ms=options.frame_ms, lead_frames=options.lead_frames)
        self._patience = Patience(options.filler_after_s, self._stream.ends_at, self._break_silence)
        self._asked = Utterance("")
        self._is_kept = False
        self._is_farewell = False
        self._heard = ""
        self._errors: list[TurnError] = []
        self._timings_ms: dict[str, float] = {}
        self._record: asyncio.Task[None] | None = None

    async def run(self) -> TurnOutcome:
        self._began_at = asyncio.get_running_loop().time()
        self._asked_at = datetime.now(UTC)
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    return await self._take(group)
                except asyncio.CancelledError:
                    self._break_off()
                    raise
        except asyncio.CancelledError:
            await self._wait_for_record(HANDOVER_S)
            raise
        finally:
            self._give_back()

    async def _take(self, group: asyncio.TaskGroup) -> TurnOutcome:
        self._speech = self._new_speech(group)
        self._patience.start()
        kind: OutcomeKind = "done"
        try:
            is_answered = await self._answer()
        except TurnError as error:
            is_answered, kind = True, "failed"
            self._apologise(error)
        if not is_answered:
            kind = "silent"
        self._speech.finish()
        await self._speech.all_sent()
        return await self._wind_up(kind)

    async def _answer(self) -> bool:
        """Put everything that is to be said on its way; False: nobody said anything that wants an answer."""
        request = self._request
        if isinstance(request, AnnounceRequest):
            self._floor.begin()
            self._say_own(request.text)
            return True
        self._asked = await self._understand(request)
        asked = self._asked.text
        is_wake_word = self._context.is_wake_word(asked)
        if not asked or (is_wake_word and not self._context.greeting):
            return False
        self._floor.show_heard(asked)
        self._floor.begin()
        if is_wake_word:
            self._say_own(self._context.greeting)
            return True
        if self._context.is_farewell(asked):
            self._is_farewell = True
            self._say_own(phrase(Phrase.GOODBYE, self._context.language))
            return True
        self._is_kept = True
        self._context.dialogue.add_user(asked, self._asked.speaker)
        await self._think(await self._recall())
        return True

    async def _understand(self, request: TypedRequest | SpokenRequest) -> Utterance:
        if isinstance(request, TypedRequest):
            return typed(request.text)
        said = await transcribe(self._services.asr, request, self._context.language, self._options.asr_timeout_s)
        self._note_time("transcribed")
        return said

    async def _recall(self) -> list[Memory]:
        if self._context.memory is None:
            return []
        memories, error = await recall(self._context.memory, self._asked, self._options)
        if error is not None:
            self._errors.append(error)
        self._note_time("recalled")
        return memories

    async def _think(self, memories: list[Memory]) -> None:
        answer = AnswerText(self._options.max_answer_chars)

        def take(delta: str) -> bool:
            self._note_time("first_token")
            self._say(answer.feed(delta), answer)
            return not answer.is_full

        messages = build_messages(self._context.binding.agent, memories, self._context.dialogue.messages())
        await think(self._services.llm, messages, self._options, take)
        self._say(answer.finish(), answer)
        if not self._speech.has_words and answer.face is None:
            raise NonsenseError("llm", "an answer without a word")
        self._floor.show_face(NEUTRAL_FACE)

    def _say(self, pieces: list[str], answer: AnswerText) -> None:
        if answer.face is not None:
            self._floor.show_face(answer.face)
        for piece in pieces:
            self._speech.say(piece)

    def _say_own(self, text: str) -> None:
        """Text of the server's own goes the way of an answer, but is neither dialogue nor memory."""
        pieces, face = cut_whole(text[: self._options.max_answer_chars])
        self._floor.show_face(face or NEUTRAL_FACE)
        for piece in pieces:
            self._speech.say_own(piece)

    def _apologise(self, error: TurnError) -> None:
        logger.warning("turn {} cannot be answered: {}", self.turn_id, error)
        self._errors.append(error)
        which = Phrase.LLM_FAILED
        if error.stage == "asr":
            which = Phrase.ASR_MISSING if error.code == "not_configured" else Phrase.ASR_FAILED
        self._floor.begin()
        self._floor.show_face(SAD_FACE)
        self._say_own(phrase(which, self._context.language))

    def _break_silence(self) -> None:
        """Too long a silence: say that it takes a moment, ahead of the text that waits for its sound."""
        self._floor.begin()
        filler = phrase(Phrase.FILLER, self._context.language)
        if self._speech.is_waiting_for_voice:
            self._speech.bridge(filler)
        else:
            self._speech.say_own(filler, FILLER_TIMEOUT_S)

    async def _wind_up(self, kind: OutcomeKind) -> TurnOutcome:
        """Everything is on its way: write it down while the device plays its last frames, then give the device back."""
        self._patience.stop()
        self._note_time("sent")
        loop = asyncio.get_running_loop()
        self._keep(kind, self._stream.sent_frames)
        record_ends_at = loop.time() + self._options.record_deadline_s
        if self._stream.sent_frames:
            await asyncio.sleep(self._stream.ends_at() + self._options.frame_ms / 1000 - loop.time())
        await self._wait_for_record(record_ends_at - loop.time())
        if silent_text := self._speech.silent_text():
            self._floor.alert(phrase(Phrase.NO_VOICE, self._context.language), silent_text[:MAX_ALERT_CHARS])
        self._floor.close()
        return self._end(kind)

    def _break_off(self) -> None:
        """The turn was cancelled: the device is free before this returns, and only what was heard counts."""
        played_frames = self._stream.played_frames()
        self._give_back()
        if self._record is None:
            self._keep("interrupted", played_frames)
        self._end("interrupted")

    def _give_back(self) -> None:
        self._patience.stop()
        self._stream.close()
        self._floor.close()

    def _keep(self, kind: OutcomeKind, played_frames: int) -> None:
        """Into the dialogue at once, into the log beside what follows."""
        self._heard = self._speech.heard(played_frames)
        if not self._is_kept:
            return
        self._context.dialogue.add_assistant(self._heard)
        exchange = build_exchange(
            self.turn_id,
            self._context,
            asked=self._asked,
            asked_at=self._asked_at,
            heard=self._heard,
            outcome=kind,
            timings_ms=self._timings_ms,
            errors=self._all_errors(),
        )
        work = self._services.log.record(exchange, self._context.memory)
        self._record = self._services.background.keep(work, "writing down a turn")

    async def _wait_for_record(self, timeout_s: float) -> None:
        """It goes on beside if it takes longer: `background` keeps it."""
        if self._record is not None and not self._record.done():
            await asyncio.wait({self._record}, timeout=max(0.0, timeout_s))

    def _end(self, kind: OutcomeKind) -> TurnOutcome:
        self._note_time("ended")
        errors = error_names(self._all_errors())
        self.outcome = TurnOutcome(
            kind, self._asked.text, self._heard, self._is_farewell, dict(self._timings_ms), errors
        )
        logger.info("turn {} {} {}", kind, self._timings_ms, " ".join(errors))
        return self.outcome

    def _all_errors(self) -> list[TurnError]:
        return [*self._errors, *self._speech.errors]

    def _note_time(self, name: str) -> None:
        if name not in self._timings_ms:
            elapsed_s = asyncio.get_running_loop().time() - self._began_at
            self._timings_ms[name] = round(elapsed_s * 1000, 1)

    def _new_speech(self, group: asyncio.TaskGroup) -> Speech:
        options = self._options
        return Speech(
            make_voice(self._services),
            self._stream,
            self._floor,
            self._services.phrases,
            group,
            language=self._context.language,
            lead_in=[silence_packet(options.sample_rate, options.frame_ms)] * options.lead_in_frames,
            pieces_ahead=options.sentences_ahead,
            first_audio_timeout_s=options.tts_first_audio_timeout_s,
            on_first_audio=lambda: self._note_time("first_audio"),
            spare=make_spare_voice(self._services),
        )

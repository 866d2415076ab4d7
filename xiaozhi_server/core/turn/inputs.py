"""What a turn is given and what it hands back. Holds no behaviour and knows no socket, no SQL and no settings file."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal

from ..dialogue import Dialogue
from ..ports import Binding, ConversationLog
from ..providers.asr.base import Asr
from ..providers.llm.base import Llm
from ..providers.memory.base import MemoryProvider
from ..providers.tts.base import Tts
from .background import Background
from .phrases import PhraseBook
from .playback import Pacer

OutcomeKind = Literal["done", "silent", "interrupted", "failed"]


@dataclass(frozen=True, slots=True)
class TypedRequest:
    """The person typed."""

    text: str


@dataclass(frozen=True, slots=True)
class SpokenRequest:
    """The person spoke: signed 16-bit little-endian mono PCM."""

    pcm: bytes
    sample_rate: int


@dataclass(frozen=True, slots=True)
class AnnounceRequest:
    """The server speaks of its own accord (a greeting, a goodbye): no model, nothing written down."""

    text: str


Request = TypedRequest | SpokenRequest | AnnounceRequest


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How patient and how generous a turn is.

    Two seconds after a person stopped speaking they must hear something. A good model may need longer than that for
    its first word, so silence is not yet a failure: after `filler_after_s` a filler is spoken ("One moment…") and the
    turn goes on waiting up to the limits below. An error is answered at once.
    """

    sample_rate: int = 24_000
    frame_ms: int = 60
    lead_frames: int = 5
    lead_in_frames: int = 2
    sentences_ahead: int = 2
    recall_limit: int = 8
    recall_deadline_s: float = 0.08
    filler_after_s: float = 1.5
    asr_timeout_s: float = 8.0
    llm_first_token_timeout_s: float = 8.0
    llm_stall_timeout_s: float = 8.0
    llm_total_timeout_s: float = 60.0
    tts_first_audio_timeout_s: float = 5.0
    tts_stall_timeout_s: float = 5.0
    # The log itself gives the database one second before it spools to disk; this leaves room for the disk.
    record_deadline_s: float = 1.5
    max_answer_chars: int = 4_000
    max_sentence_audio_s: float = 60.0


@dataclass(frozen=True, slots=True)
class TurnServices:
    """What all turns share. `background` keeps what outlives a turn; `app.py` drains it before it ends.

    `spare_tts` speaks what `tts` cannot.
    """

    asr: Asr
    llm: Llm
    tts: Tts
    log: ConversationLog
    executor: Executor
    pacer: Pacer
    options: TurnOptions = field(default_factory=TurnOptions)
    background: Background = field(default_factory=Background)
    phrases: PhraseBook = field(default_factory=PhraseBook)
    spare_tts: Tts | None = None


def _never(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class TurnContext:
    """Whose turn it is. `is_farewell` recognises an exit command: it is answered with a goodbye, not by the model.

    A wake word alone is answered with `greeting`, with nothing where that is empty.
    """

    session_id: str
    binding: Binding
    language: str
    dialogue: Dialogue
    memory: MemoryProvider | None = None
    is_farewell: Callable[[str], bool] = _never
    is_wake_word: Callable[[str], bool] = _never
    greeting: str = ""


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """How a turn ended. `silent`: nothing was said that wants an answer, so nothing was sent.

    `heard` is what the device really played.
    """

    kind: OutcomeKind
    user_text: str = ""
    heard: str = ""
    farewell: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

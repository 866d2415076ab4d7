"""The typed tree of every setting with its default. It knows no file, no environment and no other room.

The names are the reference server's where the meaning is the same. Names with a unit carry it (`_s`, `_ms`).
"""

from collections.abc import Mapping
from ipaddress import ip_network
from types import MappingProxyType
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from .timezone import AUTO_TIMEZONE, local_timezone

AGENT_ID = r"^[A-Za-z0-9_-]{1,36}$"
PROVIDER_KINDS = ("VAD", "ASR", "LLM", "TTS", "Memory", "Intent")
ProviderMap = dict[str, dict[str, Any]]
Port = Annotated[int, Field(ge=0, le=65535)]

EXIT_COMMANDS = ("exit", "quit", "goodbye", "退出", "关闭", "再见")
WAKEUP_WORDS = (
    "hi xiaozhi",
    "hey xiaozhi",
    "hi jason",
    "hi esp",
    "computer",
    "你好小智",
    "你好小志",
    "你好小鑫",
    "你好小新",
    "嘿你好呀",
    "小爱同学",
    "小美同学",
    "小龙小龙",
    "喵喵同学",
    "小滨小滨",
    "小冰小冰",
)
DEFAULT_PROMPT = (
    "You are a warm, attentive companion who talks with the people of one household through a small speaker. "
    "Answer in the language you are spoken to, in one to three short sentences of plain speech: no lists, no "
    "markdown, no links. You may open an answer with one emoji that shows your mood. Use what you remember about "
    "the person when it helps, and say so plainly when you do not know something.\n"
)


class Section(BaseModel):
    """One frozen part of the tree; a key that it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _a_switch_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Python takes true for 1, and `port: yes` would be port 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation in (int, float):
            raise ValueError("must be a number, not true or false")
        return value


def _known_timezone(name: str) -> str:
    if name == AUTO_TIMEZONE:
        return local_timezone()
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as problem:
        raise ValueError("must be a time zone such as Europe/Berlin, or auto") from problem
    return name


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _whole_number(value: Any) -> Any:
    """Digits in quotes, as pydantic takes them for every number but one of a choice."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _off_is_a_word(value: Any) -> Any:
    """YAML 1.1 reads a bare `off` as false."""
    return "off" if value is False else value


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ip_network(text, strict=False)
        except ValueError as problem:
            raise ValueError(f"{text!r} is no address or network") from problem
    return texts


class Auth(Section):
    """Who may come in: off, everybody who reaches the ports."""

    enabled: bool = False
    expire_seconds: int = Field(default=31_536_000, ge=60)


class Tls(Section):
    """Both or none."""

    cert: str = ""
    key: str = ""


class Server(Section):
    ip: str = "0.0.0.0"  # noqa: S104 - devices come from the network
    port: Port = 8000
    http_port: Port = 8003
    # A device that is given 4000 bytes or more reboots for ever.
    websocket: str = Field(default="", max_length=900, pattern=r"^(wss?://[^/:\s]+(:[0-9]{1,5})?(/[^:\s]*)?)?$")
    ota: str = Field(default="", pattern=r"^(https?://.+)?$")
    auth: Auth = Auth()
    auth_key: SecretStr = SecretStr("")
    tls: Tls = Tls()
    trusted_proxies: Annotated[tuple[str, ...], AfterValidator(_networks)] = ()


class Limits(Section):
    max_connections: int = Field(default=1000, ge=1)
    max_pending_connections: int = Field(default=500, ge=1)
    max_http_connections: int = Field(default=500, ge=1)
    replacements_per_minute: int = Field(default=10, ge=1)
    max_message_bytes: int = Field(default=65_536, ge=4096)
    max_audio_frame_bytes: int = Field(default=4096, ge=256, le=65_536)
    messages_per_second: float = Field(default=200.0, ge=20)
    message_burst: int = Field(default=1000, ge=100)
    turns_per_minute: int = Field(default=120, ge=1)
    max_queued_sound_ms: int = Field(default=4000, ge=500, le=60_000)
    max_unsent_bytes: int = Field(default=262_144, ge=16_384)
    hello_timeout_s: float = Field(default=10.0, gt=0)
    send_timeout_s: float = Field(default=5.0, gt=0)
    drain_timeout_s: float = Field(default=10.0, ge=0)


class Log(Section):
    log_level: Annotated[Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = (
        "INFO"
    )
    log_dir: str = "tmp"
    log_file: str = "server.log"
    rotate_at_mb: int = Field(default=10, ge=1)
    keep_files: int = Field(default=5, ge=1)


class Database(Section):
    """An empty url means the embedded PostgreSQL below the data directory."""

    url: SecretStr = SecretStr("")
    port: Port = 0
    start_timeout_s: float = Field(default=60.0, gt=0)
    pool_size: int = Field(default=16, ge=2, le=200)
    statement_timeout_s: float = Field(default=10.0, gt=0)


class AudioParams(Section):
    """What is sent to the device. Opus mono is all that a device can play."""

    format: Literal["opus"] = "opus"
    sample_rate: Annotated[Literal[8000, 12000, 16000, 24000, 48000], BeforeValidator(_whole_number)] = 24000
    channels: Annotated[Literal[1], BeforeValidator(_whole_number)] = 1
    frame_duration: Annotated[Literal[20, 40, 60], BeforeValidator(_whole_number)] = 60


class Xiaozhi(Section):
    audio_params: AudioParams = AudioParams()


class SelectedModule(Section):
    VAD: str = "SileroVAD"
    ASR: str = "none"
    LLM: str = "companion"
    TTS: str = "espeak"
    Memory: str = "mem0ai"
    Intent: str = "nointent"


class AgentMemory(Section):
    """How an agent's memories are filed, what becomes of them in the course of time, and whose it may read besides."""

    forget: bool = False
    ttl_days: int | None = Field(default=None, ge=1, le=36_500)
    categories: tuple[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)], ...] = (
        Field(default=(), max_length=50)
    )
    compress_after_days: int | None = Field(default=None, ge=1, le=36_500)
    compress_verbatim: bool = False
    share_from: tuple[Annotated[str, Field(pattern=AGENT_ID)], ...] = ()


class Agent(Section):
    """The default agent: who answers a device that has no agent of its own."""

    id: str = Field(default="default", pattern=AGENT_ID)
    name: str = "Xiaozhi"
    language: str = Field(default="en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    timezone: Annotated[str, AfterValidator(_known_timezone)] = AUTO_TIMEZONE
    history: Annotated[Literal["off", "text"], BeforeValidator(_off_is_a_word)] = "text"
    summary_memory: str = ""
    memory: AgentMemory = AgentMemory()


class EndPrompt(Section):
    enable: bool = True


class Dialogue(Section):
    budget_tokens: int = Field(default=4000, ge=200)


class Hearing(Section):
    patience_ms: int = Field(default=240, ge=100, le=5000)
    gap_ms: int = Field(default=800, ge=200, le=10_000)
    pre_roll_ms: int = Field(default=320, ge=0, le=2000)
    max_utterance_s: float = Field(default=30.0, ge=1, le=300)
    max_utterance_manual_s: float = Field(default=60.0, ge=1, le=300)


class Recall(Section):
    """How a turn uses memory. What a memory provider itself needs stands in its entry of the `Memory` map."""

    recall_deadline_ms: int | None = Field(default=None, ge=1, le=10_000)  # None: what suits the provider
    recall_limit: int = Field(default=8, ge=1, le=100)


class Turn(Section):
    llm_first_token_timeout_s: float = Field(default=8.0, gt=0)
    llm_stall_timeout_s: float = Field(default=8.0, gt=0)
    filler_after_ms: int = Field(default=1500, ge=100)
    asr_timeout_s: float = Field(default=8.0, gt=0)
    spare_voice: bool = True


class Settings(Section):
    """Everything that can be set. Made by `load_settings`; `Settings()` is the defaults alone."""

    server: Server = Server()
    limits: Limits = Limits()
    log: Log = Log()
    data_dir: str = "data"
    database: Database = Database()
    close_connection_no_voice_time: int = Field(default=90, ge=60, le=110)
    enable_greeting: bool = False
    exit_commands: tuple[str, ...] = EXIT_COMMANDS
    wakeup_words: tuple[str, ...] = WAKEUP_WORDS
    xiaozhi: Xiaozhi = Xiaozhi()
    agent: Agent = Agent()
    prompt: str = DEFAULT_PROMPT
    end_prompt: EndPrompt = EndPrompt()
    dialogue: Dialogue = Dialogue()
    hearing: Hearing = Hearing()
    memory: Recall = Recall()
    turn: Turn = Turn()
    tts_timeout: float = Field(default=5.0, gt=0)
    selected_module: SelectedModule = SelectedModule()
    VAD: ProviderMap = Field(default_factory=lambda: {"SileroVAD": {"type": "silero"}})
    ASR: ProviderMap = Field(default_factory=lambda: {"none": {"type": "none"}})
    LLM: ProviderMap = Field(default_factory=lambda: {"companion": {"type": "companion"}})
    TTS: ProviderMap = Field(default_factory=lambda: {"espeak": {"type": "espeak"}})
    Memory: ProviderMap = Field(
        default_factory=lambda: {name: {"type": name} for name in ("mem0ai", "mem_local_short", "nomem")}
    )
    Intent: ProviderMap = Field(default_factory=lambda: {"nointent": {"type": "nointent"}})

    _origins: Mapping[str, str] = PrivateAttr(default_factory=lambda: MappingProxyType({}))
    _notices: tuple[str, ...] = PrivateAttr(default=())

    @property
    def origins(self) -> Mapping[str, str]:
        """Which file, preset, environment variable or option set a dotted key; absent means: its default."""
        return self._origins

    @property
    def notices(self) -> tuple[str, ...]:
        """What was changed or left out while loading, one line each, to be logged once at the start."""
        return self._notices

    def with_provenance(self, origins: Mapping[str, str], notices: tuple[str, ...]) -> "Settings":
        self._origins = MappingProxyType(dict(origins))
        self._notices = notices
        return self

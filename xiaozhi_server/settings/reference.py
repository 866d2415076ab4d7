"""Which settings of the reference server mean what here. A table and the few values that must be translated.

A person comes with the `.config.yaml` of the reference server: everything in it is either used under its own name,
used under another, or has no use here, and then the table says what to do instead.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from .layers import Layer, Path, dotted, get, leaves, put, remove

Status = Literal["used", "renamed", "not supported"]


@dataclass(frozen=True, slots=True)
class ReferenceKey:
    """`advice` is the new name of a renamed key, and for one without a use what to do instead.

    A quiet key is left out without a word, since nothing is lost with it.
    """

    path: Path
    status: Status
    advice: str = ""
    quiet: bool = False


def _used(*names: str) -> Iterator[ReferenceKey]:
    return (ReferenceKey(tuple(name.split(".")), "used") for name in names)


def _renamed(name: str, new_name: str) -> ReferenceKey:
    return ReferenceKey(tuple(name.split(".")), "renamed", new_name)


def _without(name: str, advice: str, *, quiet: bool = False) -> ReferenceKey:
    return ReferenceKey(tuple(name.split(".")), "not supported", advice, quiet)


# A key stands for everything below it. Providers have a table of their own in reference_providers.py.
REFERENCE_KEYS: tuple[ReferenceKey, ...] = (
    *_used("server.ip", "server.port", "server.http_port", "server.websocket", "server.ota"),
    *_used("server.auth.enabled", "server.auth.expire_seconds", "server.auth_key"),
    *_used("log.log_level", "log.log_dir", "log.log_file"),
    *_used("close_connection_no_voice_time", "tts_timeout", "enable_greeting", "exit_commands", "wakeup_words"),
    *_used("xiaozhi.audio_params.format", "xiaozhi.audio_params.sample_rate"),
    *_used("xiaozhi.audio_params.channels", "xiaozhi.audio_params.frame_duration"),
    *_used("prompt", "end_prompt.enable"),
    *_used("selected_module.VAD", "selected_module.ASR", "selected_module.LLM"),
    *_used("selected_module.TTS", "selected_module.Memory", "selected_module.Intent"),
    *_used("VAD", "ASR", "LLM", "TTS", "Memory", "Intent"),
    _renamed("selected_modules", "selected_module"),
    _renamed("log.data_dir", "data_dir"),
    _renamed("server.timezone_offset", "agent.timezone"),
    _renamed("timezone", "agent.timezone"),
    _renamed("language", "agent.language"),
    _renamed("summaryMemory", "agent.summary_memory"),
    _without("server.vision_explain", "pictures are not understood yet: leave it out", quiet=True),
    _without("server.auth.tokens", "tokens are made by the server, one for each device: leave it out"),
    _without(
        "server.auth.allowed_devices", "a device that came first keeps its name: see `devices list`, `devices pair`"
    ),
    _without("server.mqtt_gateway", "devices come by websocket: leave it out"),
    _without("server.mqtt_signature_key", "devices come by websocket: leave it out"),
    _without("server.mqtt_manager_api", "devices come by websocket: leave it out"),
    _without("server.udp_gateway", "devices come by websocket: leave it out"),
    _without("server.firmware_cache_ttl", "the firmware folder is read when a device asks: leave it out", quiet=True),
    _without("log.log_format", "the line format is fixed, with device, session and turn: leave it out", quiet=True),
    _without(
        "log.log_format_file", "the line format is fixed, with device, session and turn: leave it out", quiet=True
    ),
    _without("delete_audio", "sound is never written to disk: leave it out", quiet=True),
    _without("tts_audio_send_delay", "playback is paced by a clock: leave it out", quiet=True),
    _without(
        "enable_wakeup_words_response_cache",
        "a greeting is spoken by the voice itself: see enable_greeting",
        quiet=True,
    ),
    _without("enable_stop_tts_notify", "there is no sound after an answer: leave it out", quiet=True),
    _without("stop_tts_notify_voice", "there is no sound after an answer: leave it out", quiet=True),
    _without("enable_websocket_ping", "a ping is always answered: leave it out", quiet=True),
    _without("end_prompt.prompt", "the goodbye is a short fixed phrase: leave it out", quiet=True),
    _without("device_max_output_size", "there is no daily limit per device yet: leave it out"),
    _without("tool_call_timeout", "the model calls no tools yet: leave it out", quiet=True),
    _without(
        "system_error_response", "what is said when something fails is built in, in English and Chinese: leave it out"
    ),
    _without("xiaozhi.type", "the hello is built in: leave it out", quiet=True),
    _without("xiaozhi.version", "the hello is built in: leave it out", quiet=True),
    _without("xiaozhi.transport", "the hello is built in: leave it out", quiet=True),
    _without("module_test", "use `python -m xiaozhi_server check`", quiet=True),
    _without("mcp_endpoint", "outside tools are not called yet: leave it out"),
    _without("plugins", "the model calls no tools yet: leave it out"),
    _without("context_providers", "put what the model should know into prompt"),
    _without("voiceprint", "speakers are not told apart yet: leave it out"),
    _without("prompt_template", "put the whole text into prompt"),
    _without("role_id", "put the whole text into prompt"),
    _without("manager-api", "a manager of its own is not asked yet: keep the settings in data/.config.yaml"),
    _without("manager_api", "a manager of its own is not asked yet: keep the settings in data/.config.yaml"),
    _without("read_config_from_api", "a manager of its own is not asked yet: leave it out", quiet=True),
    _without("chat_history_conf", "set agent.history to off or text"),
    _without("selected_module.VLLM", "pictures are not understood yet: leave it out", quiet=True),
    _without("VLLM", "pictures are not understood yet: leave it out", quiet=True),
)

IDLE_SECONDS = (60, 110)
MIN_AUTH_KEY_CHARS = 16


def find_key(path: Path) -> ReferenceKey | None:
    """The entry of the table that speaks for this path: the longest that it begins with."""
    fitting = [key for key in REFERENCE_KEYS if path[: len(key.path)] == key.path]
    return max(fitting, key=lambda key: len(key.path), default=None)


def translate(layer: Layer) -> list[str]:
    """Bring one layer into our names. Returns a line for everything that the person should know."""
    notices = [line for key in REFERENCE_KEYS if key.status != "used" for line in _apply(layer, key)]
    return notices + [line for fix in _VALUE_FIXES for line in fix(layer)]


def _apply(layer: Layer, key: ReferenceKey) -> list[str]:
    value = get(layer.values, key.path)
    if value is None:
        return []
    if key.status == "renamed":
        return _rename(layer, key, value)
    label = layer.label(_first_leaf(key.path, value))
    remove(layer.values, key.path)
    return (
        [] if key.quiet or not _says_something(value) else [f"{label}: {dotted(key.path)}: no use here: {key.advice}"]
    )


def _says_something(value: Any) -> bool:
    """A placeholder or an empty value asks for nothing."""
    return value not in ("", [], {}) and not (isinstance(value, str) and "你的" in value)


def _first_leaf(path: Path, value: Any) -> Path:
    return next((leaf for leaf, _ in leaves(value, path)), path) if isinstance(value, dict) else path


def _rename(layer: Layer, key: ReferenceKey, value: Any) -> list[str]:
    new_path = tuple(key.advice.split("."))
    label = layer.label(key.path)
    remove(layer.values, key.path)
    translated = _TRANSLATIONS.get(key.path, lambda given: given)(value)
    if translated is None:
        return [f"{label}: {dotted(key.path)}: {value!r} cannot be translated: set {key.advice} instead"]
    for path, leaf in leaves(translated, new_path) if isinstance(translated, dict) else [(new_path, translated)]:
        if get(layer.values, path) is None:
            put(layer.values, path, leaf)
            layer.labels[path] = layer.label((*key.path, *path[len(new_path) :]))
    return []


def _zone_of_offset(hours: Any) -> str | None:
    """Whole hours east of Greenwich; the sign in the names of these zones is the other way round."""
    try:
        offset = float(hours)
    except (TypeError, ValueError, OverflowError):
        return None
    if not offset.is_integer() or not -12 <= offset <= 14:
        return None
    return f"Etc/GMT{-int(offset):+d}" if offset else "Etc/UTC"


_TRANSLATIONS: dict[Path, Callable[[Any], Any]] = {("server", "timezone_offset"): _zone_of_offset}


def _fit_idle_time(layer: Layer) -> list[str]:
    path: Path = ("close_connection_no_voice_time",)
    given = get(layer.values, path)
    given = int(given) if isinstance(given, str) and given.isdecimal() else given
    lowest, highest = IDLE_SECONDS
    if isinstance(given, bool) or not isinstance(given, int | float) or lowest <= given <= highest:
        return []
    fitted = lowest if given < lowest else highest
    put(layer.values, path, fitted)
    shown = f"{given:g}" if isinstance(given, float) else str(given)[:20]
    return [f"{layer.label(path)}: {dotted(path)}: {shown} s is outside {lowest} to {highest}: {fitted} is used"]


def _fit_auth_key(layer: Layer) -> list[str]:
    path: Path = ("server", "auth_key")
    given = get(layer.values, path)
    if not isinstance(given, str | int) or given == "" or len(str(given)) >= MIN_AUTH_KEY_CHARS:
        return []
    label = layer.label(path)
    remove(layer.values, path)
    return (
        []
        if "你的" in str(given)
        else [
            f"{label}: {dotted(path)}: shorter than {MIN_AUTH_KEY_CHARS} characters could be guessed: "
            "one that the server makes and keeps is used"
        ]
    )


def _drop_placeholders(layer: Layer) -> list[str]:
    for path in (("server", "websocket"), ("server", "ota"), ("server", "auth_key")):
        value = get(layer.values, path)
        if isinstance(value, str) and "你的" in value:
            remove(layer.values, path)
    return []


_VALUE_FIXES: tuple[Callable[[Layer], list[str]], ...] = (_fit_idle_time, _fit_auth_key, _drop_placeholders)

"""Which providers there are. Names only: a provider's module is imported when it is chosen."""

import importlib
from typing import Any

# (kind in selected_module, type in the provider map) → module:class. Each class has a pydantic `Config`
# and takes one instance of it.
PROVIDERS: dict[tuple[str, str], str] = {
    ("VAD", "silero"): "vad.silero:SileroVad",
    ("ASR", "none"): "asr.none:NoAsr",
    ("ASR", "openai"): "asr.openai:OpenAiAsr",
    ("ASR", "sphinx"): "asr.sphinx:SphinxAsr",
    ("LLM", "companion"): "llm.companion:CompanionLlm",
    ("LLM", "openai"): "llm.openai:OpenAiLlm",
    ("TTS", "espeak"): "tts.espeak:EspeakTts",
    ("TTS", "openai"): "tts.openai:OpenAiTts",
    ("TTS", "edge"): "tts.edge:EdgeTts",
}


def types_of(kind: str) -> list[str]:
    return sorted(type_name for known_kind, type_name in PROVIDERS if known_kind == kind)


def load(kind: str, type_name: str) -> type[Any]:
    """Import one provider's class. KeyError: there is no such type. ImportError: an extra is not installed."""
    module, _, attribute = PROVIDERS[(kind, type_name)].partition(":")
    loaded = importlib.import_module(f".{module}", __package__)
    provider: type[Any] = getattr(loaded, attribute)
    return provider

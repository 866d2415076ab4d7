"""The reference server's providers: which of their types and keys are used here, and what to take instead.

Facts only: names, types, addresses. People name such an entry and give just a key, since the reference's own
config.yaml holds the rest; so the rest must be known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .layers import Tree

OPENAI_COMPATIBLE = "most services can also be reached with type openai and their base_url"

# (kind, name of the entry) → what the reference's own config.yaml says about it, as far as it is used here.
REFERENCE_ENTRIES: dict[tuple[str, str], Mapping[str, Any]] = {
    ("VAD", "SileroVAD"): {"type": "silero"},
    ("LLM", "AliLLM"): {
        "type": "openai",
        "base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "model_name": "qwen-turbo",
    },
    ("LLM", "DoubaoLLM"): {
        "type": "openai",
        "base_url": "https://ark.cn-beijing.volces.com/api/v3",
        "model_name": "doubao-1-5-pro-32k-250115",
    },
    # The reference's own name for it, deepseek-chat, was retired. That one did not think before it spoke.
    ("LLM", "DeepSeekLLM"): {
        "type": "openai",
        "base_url": "https://api.deepseek.com",
        "model_name": "deepseek-flash",
        "extra_body": {"thinking": {"type": "disabled"}},
    },
    ("LLM", "ChatGLMLLM"): {
        "type": "openai",
        "base_url": "https://open.bigmodel.cn/api/paas/v4/",
        "model_name": "glm-4-flash",
    },
    ("LLM", "VolcesAiGatewayLLM"): {
        "type": "openai",
        "base_url": "https://ai-gateway.vei.volces.com/v1",
        "model_name": "doubao-pro-32k-functioncall",
    },
    ("LLM", "LMStudioLLM"): {"type": "openai", "base_url": "http://localhost:1234/v1", "api_key": "lm-studio"},
    ("LLM", "OllamaLLM"): {"type": "ollama", "base_url": "http://localhost:11434", "model_name": "qwen2.5"},
    ("LLM", "XinferenceLLM"): {"type": "xinference", "base_url": "http://localhost:9997"},
    ("LLM", "XinferenceSmallLLM"): {"type": "xinference", "base_url": "http://localhost:9997"},
    ("LLM", "AliAppLLM"): {"type": "AliBL"},
    ("LLM", "VolceAIGateway"): {"type": "volcengine"},
    ("LLM", "DifyLLM"): {"type": "dify"},
    ("LLM", "GeminiLLM"): {"type": "gemini"},
    ("LLM", "CozeLLM"): {"type": "coze"},
    ("LLM", "HomeAssistant"): {"type": "homeassistant"},
    ("LLM", "FastgptLLM"): {"type": "fastgpt"},
    ("ASR", "OpenaiASR"): {
        "type": "openai",
        "base_url": "https://api.openai.com/v1",
        "model_name": "gpt-4o-mini-transcribe",
    },
    ("ASR", "GroqASR"): {
        "type": "openai",
        "base_url": "https://api.groq.com/openai/v1",
        "model_name": "whisper-large-v3-turbo",
    },
    ("ASR", "FunASR"): {"type": "fun_local"},
    ("ASR", "FunASRServer"): {"type": "fun_server"},
    ("ASR", "VolceAIGateway"): {"type": "volcengine"},
    ("ASR", "SherpaASR"): {"type": "sherpa_onnx_local"},
    ("ASR", "SherpaParaformerASR"): {"type": "sherpa_onnx_local"},
    ("ASR", "DoubaoASR"): {"type": "doubao"},
    ("ASR", "DoubaoStreamASR"): {"type": "doubao_stream"},
    ("ASR", "TencentASR"): {"type": "tencent"},
    ("ASR", "AliyunASR"): {"type": "aliyun"},
    ("ASR", "AliyunStreamASR"): {"type": "aliyun_stream"},
    ("ASR", "BaiduASR"): {"type": "baidu"},
    ("ASR", "VoskASR"): {"type": "vosk"},
    ("ASR", "Qwen3ASRFlash"): {"type": "qwen3_asr_flash"},
    ("ASR", "XunfeiStreamASR"): {"type": "xunfei_stream"},
    ("TTS", "EdgeTTS"): {"type": "edge", "voice": "zh-CN-XiaoxiaoNeural"},
    ("TTS", "OpenAITTS"): {
        "type": "openai",
        "base_url": "https://api.openai.com/v1",
        "model": "tts-1",
        "voice": "onyx",
    },
    ("TTS", "VolcesAiGatewayTTS"): {
        "type": "openai",
        "base_url": "https://ai-gateway.vei.volces.com/v1",
        "model": "doubao-tts",
        "voice": "zh_male_shaonianzixin_moon_bigtts",
    },
    ("TTS", "DoubaoTTS"): {"type": "doubao"},
    ("TTS", "TTS302AI"): {"type": "doubao"},
    ("TTS", "GizwitsTTS"): {"type": "doubao"},
    ("TTS", "VolceAIGateway"): {"type": "volcengine"},
    ("TTS", "HuoshanDoubleStreamTTS"): {"type": "huoshan_double_stream"},
    ("TTS", "CosyVoiceSiliconflow"): {"type": "siliconflow"},
    ("TTS", "CozeCnTTS"): {"type": "cozecn"},
    ("TTS", "FishSpeech"): {"type": "fishspeech"},
    ("TTS", "GPT_SOVITS_V2"): {"type": "gpt_sovits_v2"},
    ("TTS", "GPT_SOVITS_V3"): {"type": "gpt_sovits_v3"},
    ("TTS", "MinimaxTTS"): {"type": "minimax"},
    ("TTS", "MinimaxTTSHTTPStream"): {"type": "minimax_httpstream"},
    ("TTS", "AliyunTTS"): {"type": "aliyun"},
    ("TTS", "AliyunStreamTTS"): {"type": "aliyun_stream"},
    ("TTS", "AliBLTTS"): {"type": "alibl_stream"},
    ("TTS", "TencentTTS"): {"type": "tencent"},
    ("TTS", "ACGNTTS"): {"type": "ttson"},
    ("TTS", "CustomTTS"): {"type": "custom"},
    ("TTS", "LinkeraiTTS"): {"type": "linkerai"},
    ("TTS", "PaddleSpeechTTS"): {"type": "paddle_speech"},
    ("TTS", "IndexStreamTTS"): {"type": "index_stream"},
    ("TTS", "XunFeiTTS"): {"type": "xunfei_stream"},
    ("TTS", "CartesiaSDK"): {"type": "cartesia_sdk"},
    ("TTS", "ElevenLabsSDK"): {"type": "elevenlabs_sdk"},
    ("Memory", "nomem"): {"type": "nomem"},
    ("Memory", "mem0ai"): {"type": "mem0ai"},
    ("Memory", "mem_local_short"): {"type": "mem_local_short"},
    ("Memory", "mem_report_only"): {"type": "mem_report_only"},
    ("Memory", "powermem"): {"type": "powermem"},
    ("Intent", "nointent"): {"type": "nointent"},
    ("Intent", "intent_llm"): {"type": "intent_llm"},
    ("Intent", "function_call"): {"type": "function_call"},
}

EMBEDDED_ENTRIES = {
    "VAD": "SileroVAD",
    "ASR": "none",
    "LLM": "companion",
    "TTS": "espeak",
    "Memory": "mem0ai",
    "Intent": "nointent",
}

# Who chose to keep no memories must not find them kept.
_OTHER_STAND_INS = {("Memory", "mem_report_only"): "nomem"}

INSTEAD = {
    "LLM": OPENAI_COMPATIBLE,
    "ASR": "services that speak OpenAI's audio/transcriptions work with type openai and their base_url",
    "TTS": "services that speak OpenAI's audio/speech work with type openai and their base_url",
    "Memory": "the embedded memory keeps everything in your own database",
    "Intent": "the model calls no tools yet",
    "VAD": "the embedded detector needs no model file of yours",
}

REFERENCE_TYPES = {(kind, str(entry["type"])) for (kind, _), entry in REFERENCE_ENTRIES.items()}


@dataclass(frozen=True, slots=True)
class UnusedKey:
    advice: str
    quiet: bool = False


# (kind, type here) → keys of the reference that such an entry may carry and that our provider does not know.
UNUSED_KEYS: dict[tuple[str, str], Mapping[str, UnusedKey]] = {
    ("LLM", "openai"): {"top_k": UnusedKey("OpenAI's interface does not have it: leave it out")},
    ("TTS", "edge"): {"output_dir": UnusedKey("sound is never written to disk: leave it out", quiet=True)},
}


def stand_in(kind: str, type_name: str) -> str:
    """The embedded entry that takes the place of a type which is not here."""
    return _OTHER_STAND_INS.get((kind, type_name), EMBEDDED_ENTRIES[kind])


# Where these two listen when nothing else is said.
_LOCAL_ADDRESSES = {"ollama": "http://localhost:11434", "xinference": "http://localhost:9997"}
_OPENAI_LIKE = ("openai", *_LOCAL_ADDRESSES)


def complete(kind: str, name: str, entry: Mapping[str, Any]) -> Tree:
    """The entry with what the reference's own file says about it, where the person has left it out."""
    known = REFERENCE_ENTRIES.get((kind, name), {})
    type_name = entry.get("type", known.get("type"))
    given = _with_base_url(entry) if type_name in _OPENAI_LIKE else dict(entry)
    if given.keys() & {"base_url", "model_name"}:  # another service or model may refuse a word that was meant for this
        known = {key: value for key, value in known.items() if key != "extra_body"}
    joined = {**known, **given} if type_name == known.get("type") else given
    return _as_openai(joined) if kind == "LLM" and str(type_name) in _LOCAL_ADDRESSES else joined


def _with_base_url(entry: Mapping[str, Any]) -> Tree:
    """`url` and `api_url` are other spellings of `base_url`."""
    others = {key: value for key, value in entry.items() if key not in ("url", "api_url", "base_url")}
    addresses = [entry[key] for key in ("base_url", "url", "api_url") if entry.get(key)]
    return {**others, "base_url": addresses[0]} if addresses else others


def _as_openai(entry: Tree) -> Tree:
    """Ollama and Xinference serve OpenAI's interface below /v1 and ask for no key."""
    base_url = str(entry.get("base_url") or _LOCAL_ADDRESSES[entry["type"]]).rstrip("/")
    with_version = base_url if base_url.endswith("/v1") else f"{base_url}/v1"
    return {"api_key": "not-needed", **entry, "type": "openai", "base_url": with_version}

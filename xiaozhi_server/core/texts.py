"""What the server itself says to people, in English and Chinese. Every other language hears English."""

from enum import Enum, auto


class Phrase(Enum):
    FILLER = auto()
    ASR_MISSING = auto()
    ASR_FAILED = auto()
    LLM_FAILED = auto()
    NO_VOICE = auto()
    GREETING = auto()
    GOODBYE = auto()


_ENGLISH = {
    Phrase.FILLER: "One moment, please.",
    Phrase.ASR_MISSING: "I cannot understand speech yet: no speech recogniser is set up. "
    "Choose one under selected_module, ASR, in the server's configuration. Typed messages work already.",
    Phrase.ASR_FAILED: "Sorry, I could not hear that properly. Please say it again.",
    Phrase.LLM_FAILED: "Sorry, I cannot think of an answer right now. Please try again in a moment.",
    Phrase.NO_VOICE: "No voice right now",
    Phrase.GREETING: "Hello, I am listening.",
    Phrase.GOODBYE: "Goodbye, see you soon.",
}

_CHINESE = {
    Phrase.FILLER: "请稍等一下。",
    Phrase.ASR_MISSING: "我还听不懂语音：服务器没有配置语音识别。"
    "请在配置文件的 selected_module 里选择一个 ASR。现在可以先打字和我聊天。",
    Phrase.ASR_FAILED: "抱歉，我没有听清，请再说一遍。",
    Phrase.LLM_FAILED: "抱歉，我现在答不上来，请过一会儿再试。",
    Phrase.NO_VOICE: "暂时没有声音",
    Phrase.GREETING: "你好，我在听。",
    Phrase.GOODBYE: "再见，下次再聊。",
}


def phrase(which: Phrase, language: str) -> str:
    """The phrase in the language of a BCP 47 tag, for example "en-GB" or "zh"."""
    is_chinese = language.casefold().split("-")[0].split("_")[0] in {"zh", "cmn", "yue"}
    return (_CHINESE if is_chinese else _ENGLISH)[which]

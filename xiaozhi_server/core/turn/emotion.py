"""Finds the face that an answer wears: any emoji becomes one of the 21 emotions a device can show. Knows only text."""

import re
from dataclasses import dataclass
from typing import Final

NEUTRAL: Final = "neutral"

# What an emoji may be made of, from single symbols to faces with skin tones, joiners and flags.
_PICTOGRAPH = "\U0001f000-\U0001faff\u2600-\u27bf\u2b05-\u2b55\u231a-\u23ff\u3030\u303d\u3297\u3299\u203c\u2049"
_ATTACHED = "\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f"
EMOJI: Final = re.compile(f"[{_PICTOGRAPH}{_ATTACHED}]+")
_ONE = re.compile(f"[{_PICTOGRAPH}]")

_BY_EMOTION: Final = {
    NEUTRAL: "😶😐😑🫥",
    "happy": "🙂😊😀😃😄😁🤗😺😸☺👍👏🎉🎊🥳🌞🌈✨🙌👋🎂🎁✅",
    "laughing": "😆😂🤣😹",
    "funny": "🤪😜😝🤡🙃😛",
    "sad": "😔😞😟🙁☹😥😓😣😖😩😿💔🥺🫤😰😢",
    "angry": "😠😡🤬👿😤👎💢😾",
    "crying": "😭",
    "loving": "😍🥰😻❤💕💖💗💓💞💘💝🧡💛💚💙💜🤎🖤🤍🩷🫶♥💐🌹",
    "embarrassed": "😳🫣😬😅🙈",
    "surprised": "😲😮😯🙀❗‼",
    "shocked": "😱🤯😨😧😦⚡💥",
    "thinking": "🤔🧐🤓💡🔍💭❓",
    "winking": "😉",
    "cool": "😎🔥💪🚀🕶🏆⭐🌟",
    "relaxed": "😌🧘🍃🌙☕🌸",
    "delicious": "🤤😋🍕🍔🍰🍜🍣🍎🍓🍦🥟🍲",
    "kissy": "😘😗😙😚💋😽",
    "confident": "😏🤝🫡💯",
    "sleepy": "😴😪🥱💤🛌",
    "silly": "🤭🫢👻🤠🤖",
    "confused": "😕🙄🤷🤨🫨😵🥴",
}
EMOTIONS: Final = tuple(_BY_EMOTION)
_EMOTION_OF: Final = {emoji: emotion for emotion, emojis in _BY_EMOTION.items() for emoji in emojis}


@dataclass(frozen=True, slots=True)
class Face:
    """An emotion's name, which firmware reads, and the emoji for it, which browsers show."""

    emotion: str
    emoji: str


NEUTRAL_FACE: Final = Face(NEUTRAL, "😶")
SAD_FACE: Final = Face("sad", "😔")


def find_face(text: str) -> Face | None:
    """The face of the first emoji in the text; one without a feeling of its own counts as neutral."""
    if text.isascii():
        return None
    found = _ONE.search(text)
    if found is None:
        return None
    emoji = found.group()
    return Face(_EMOTION_OF.get(emoji, NEUTRAL), emoji)

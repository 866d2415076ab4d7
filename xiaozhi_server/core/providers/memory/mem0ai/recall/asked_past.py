"""Whether a question asks how things were before: "Where did I use to live?", "my old phone number", 我以前住在哪里.

A time that is named is read elsewhere (asked_time.py). Read from the folded text. A doubtful word counts only in the
company that settles it: "before breakfast" and 周五之前 are about what is still to come, "how old" is about an age.
"""

import re

from .folding import folded

_OWNER = r"(?:my|our|your|his|her|their|its|the|'s|whose|which|what)"
_ENGLISH = re.compile(
    r"\b(?:previous(?:ly)?|former(?:ly)?|originally|back then|no longer)\b"
    r"|\bin (?:the past|those days)\b|\bat (?:that|the) time\b"
    r"|\b(?:did|didn't)\b.{1,60}\buse to\b"
    rf"|(?:\b|(?=')){_OWNER} (?:old|earlier|past)\b(?! (?:is|are|am|was|enough|people|man|woman|lady)\b)"
    r"|\bbefore(?: (?:that|then|now))?\s*[.?!]*$"
    r"|\b(?:did|was|were|had|lived|worked)\b.*\bbefore\b"
    r"|\b(?:have|has|had|did) (?:\w+ ){1,3}ever\b"
    r"|(?:n't|\bnot\b|\bnever\b).*\bany ?more\b"
)
_USED_TO = re.compile(r"(?P<accustomed>\b(?:am|are|is|be|get|got|getting) (?:\w+ )?)?\bused to\b")
_LIVED = re.compile(r"\bdid (?:\w+ ){1,3}(?:live|work)\b")
_UNSPACED = re.compile(
    r"从前|原先|早先|先前|当初|当时|那时|曾经|曾(?=[在住是有用养做当喜])|原来(?!如此)|不再"
    r"|旧(?!金山|历|约)|老(?=地址|号码|电话)|上[1一][个份任家部]|[住养用当做]过(?!来|去)"
    r"|(?<![走跑拿搬开飞送带看回])过去(?![吧了]|[?。!]*$)"
    r"|(?<![\d天日周月点分时号期完饭班门课觉])(?:之前|以前)(?!.{0,4}(?:要|必须|应该|需要|得|记得))"
)
# Without one of these words no English pattern fits; most questions have none, and that is seen in no time.
_HINTS = frozenset([
    "previous", "previously", "former", "formerly", "originally", "then", "longer", "past", "days", "time", "use",
    "used", "old", "earlier", "before", "ever", "more", "anymore", "live", "work",
])  # fmt: skip
_WORD = re.compile("[a-z]+")


def asks_how_it_was(text: str, *, names_time: bool = False) -> bool:
    """Before now, or before the time that is named; "Where did I live in May?" asks for that time alone."""
    plain = folded(text).replace("’", "'")
    if not plain.isascii() and _UNSPACED.search(plain):
        return True
    if _HINTS.isdisjoint(_WORD.findall(plain)):
        return False
    used_to = any(not found["accustomed"] for found in _USED_TO.finditer(plain))
    if used_to or _ENGLISH.search(plain) is not None:
        return True
    return not names_time and _LIVED.search(plain) is not None

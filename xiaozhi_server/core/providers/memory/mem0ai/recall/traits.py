"""What a remembered text is besides its words: who said it, whether it asks, says that nothing is known, calls a name.

Found once when a row is loaded and kept as bits, because the ranking looks at all of an owner's rows at once.
"""

import re

ASSISTANT = 1
ASKS = 2
IGNORANCE = 4
ADDRESSES = 8

_QUESTION_ENDS = ("?", "？", "؟", "吗", "呢", "什么", "什麼", "哪里", "哪裡", "哪儿", "多少", "谁", "誰")
_QUESTION_STARTS = ("what", "which", "who", "whose", "where", "when", "why", "how")
_IGNORANCE = re.compile(
    r"\b(?:not|no|never|n't|can't|cannot|haven't|didn't)\b[^.!?]{0,20}"
    r"\b(?:know|sure|remember|recall|told|tell|mention\w*|idea|memory|memories|information|heard)\b"
    r"|\b(?:don|didn|can|haven|isn|wasn)['’]t\b[^.!?]{0,12}\b(?:know|remember|recall|told|heard|have)\b"
    r"|[不没沒未][^。！？]{0,6}(?:知道|清楚|记得|記得|告诉|告訴|提过|提過|听说|聽說|了解|确定|確定)",
    re.IGNORECASE,
)
_NAME = r"[A-Z][\w'’-]*"
_CALLS = (
    "hey|hi|hello|thanks|thank you|wow|yeah|yep|yup|yes|sorry|congrats|congratulations|bye|sure|okay|ok|oh|ha|haha|woah"
)
# "Ann, look!", "Great Ann!", "You are right, Ann.", "thanks Ann": said to Ann, not about her.
_ADDRESS = re.compile(
    rf"(?:^|[.!?]\s+)(?:[A-Z]\w*\s+)?{_NAME}\s*[,!]|,\s*{_NAME}\s*(?:[.!?~]|$)|\b(?i:{_CALLS}),?\s+{_NAME}"
)
# None of the patterns above fits without one of these; they are found in a fraction of the time.
_NEGATIONS = frozenset(["not", "no", "never", "n", "can", "cannot", "haven", "didn", "don", "isn", "wasn"])
_UNSPACED_NEGATIONS = re.compile("[不没沒未]")
_GREETINGS = frozenset(_CALLS.replace("thank you", "thank").split("|"))
_WORD = re.compile("[a-z]+")
_CLOSING = " \t\r\n\"'”’」』)）.。!！~～"


def traits_of(text: str, role: str) -> int:
    """The bits of one row."""
    return (
        (ASSISTANT if role == "assistant" else 0)
        | (ASKS if is_question(text) else 0)
        | (IGNORANCE if role == "assistant" and is_ignorance(text) else 0)
        | (ADDRESSES if addresses(text) else 0)
    )


def is_ignorance(text: str) -> bool:
    """Whether a reply says that something is not known."""
    negated = not _NEGATIONS.isdisjoint(_WORD.findall(text.lower())) or _UNSPACED_NEGATIONS.search(text)
    return bool(negated) and _IGNORANCE.search(text) is not None


def addresses(text: str) -> bool:
    """Whether somebody is called by a name."""
    called = "," in text or "!" in text or not _GREETINGS.isdisjoint(_WORD.findall(text.lower()))
    return called and _ADDRESS.search(text) is not None


def is_question(text: str) -> bool:
    """A recogniser may leave the mark out, so the words at either end count too."""
    plain = text.strip(_CLOSING).casefold()
    return plain.endswith(_QUESTION_ENDS) or plain.replace("'", " ").split(" ", 1)[0] in _QUESTION_STARTS

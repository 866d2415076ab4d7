"""The embedded partner: rules in English and Chinese, no key, no model. It keeps nothing: what it knows of a person is
what was recalled into the messages, so without memory it knows nothing from before.
"""

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from . import companion_chinese, companion_english
from .base import ChatMessage, LlmEvent, TextDelta, ToolSpec
from .companion_phrases import CHINESE, ENGLISH, OWN_BEGINNINGS, Phrases
from .companion_reading import Language

# A fact answers a question if it speaks of more than half of it; with less it is only the nearest.
GOOD_FIT = 0.51
NEAR_FIT = 0.34
SAME_FIT = 0.05
MOST_FACTS = 5
# Longer statements are not repeated when they are noted.
LONGEST_ECHO = 120

EVIDENCE = re.compile(r"<memory>(.*?)</memory>", re.DOTALL)
EVIDENCE_LINE = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]\s*(.+)")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
NOT_WORDS = re.compile(r"^[^\w]+")

GREETING = re.compile(
    r"(?:hello|hi|hey|good (?:morning|afternoon|evening))(?: there| again)?\b[\s,.!]*"
    r"|(?:你好|您好|嗨|哈喽|喂|嘿|早上好|下午好|晚上好|早安)(?!吗)[啊呀]?[\s，,]*(?:小智|小志)?[\s，,。.！!~]*",
    re.IGNORECASE,
)
WHO_ARE_YOU = re.compile(
    r"\b(?:who|what) are you\b|\bwhat(?:'s| is) your name\b|\bwhat can you do\b|language model"
    r"|\bare you (?:an? |really )?(?:ai|llm|gpt|chatgpt|robot|bot|human|person|machine|computer|real)\b"
    r"|你是谁|你是什么|你叫什么|语言模型|大模型|你(?:是不是|是).{0,4}(?:人工智能|机器人|真人|AI)|你(?:会|能)(?:做|干)?(?:什么|啥)",
    re.IGNORECASE,
)
HOW_ARE_YOU = re.compile(r"how are you\b|how do you do\b|你好吗|你怎么样|最近好吗", re.IGNORECASE)
THANKS = re.compile(r"(?:thanks?|thank you|many thanks)\b|谢谢|多谢|感谢", re.IGNORECASE)
GOODBYE = re.compile(r"(?:good ?bye|bye|see you|good night)\b|再见|拜拜|晚安", re.IGNORECASE)
ALL_YOU_KNOW = re.compile(
    r"\b(?:what|everything|all|anything)(?: that)?(?: (?:do|can|else|have))* you (?:know|remember|noted)"
    r"(?: (?:about|of) (?:me|us|my family))?[\s?.!]*$|\bwhat (?:have|did) i (?:told|tell) you[\s?.!]*$"
    r"|(?:知道|记得|了解|记住了?)(?:关于)?我(?:们|家)?(?:的)?(?:什么|哪些|些什么|多少|所有|一切)"
    r"|我(?:都)?(?:告诉|跟你说)过你?(?:什么|哪些)",
    re.IGNORECASE,
)


class CompanionLlmConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CompanionLlm:
    Config: ClassVar[type[CompanionLlmConfig]] = CompanionLlmConfig

    def __init__(self, config: CompanionLlmConfig) -> None:
        self._config = config

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec] = ()
    ) -> AsyncGenerator[LlmEvent, None]:
        for piece in SENTENCE_END.split(reply_to(messages)):
            yield TextDelta(f"{piece} " if piece.endswith((".", "!", "?")) else piece)

    async def probe(self) -> str:
        return "rules in this process: not a language model"

    async def close(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _Talk:
    """What one reply is made from."""

    text: str
    language: Language
    phrases: Phrases
    remembered: tuple[str, ...]
    is_first: bool


def reply_to(messages: Sequence[ChatMessage]) -> str:
    talk = _talk(messages)
    text = _without_greeting(talk.text)
    if not any(map(str.isalnum, text)):
        return _greeting(talk)
    return _small_talk(talk, text) or _about_facts(talk, text)


def _small_talk(talk: _Talk, text: str) -> str | None:
    """What is answered the same whatever is remembered."""
    phrases, language = talk.phrases, talk.language
    plain = language.without_lead_in(text)
    for fits, phrase in (
        (WHO_ARE_YOU.search, phrases.who_i_am),
        (HOW_ARE_YOU.match, phrases.how_i_am),
        (THANKS.match, phrases.welcome),
        (GOODBYE.match, phrases.goodbye),
        (language.FILLER.fullmatch, phrases.all_right),
    ):
        if fits(text):
            return phrase
    if language.FORGET.match(plain):
        return phrases.cannot_forget
    return phrases.cannot_do if language.REQUEST.match(plain) else None


def _about_facts(talk: _Talk, text: str) -> str:
    if ALL_YOU_KNOW.search(text):
        return _everything(talk)
    if not talk.language.is_question(text):
        return _acknowledgement(talk, text)
    return talk.phrases.nothing_of_its_own if talk.language.asks_about_the_companion(text) else _answer(talk, text)


def _without_greeting(text: str) -> str:
    return GREETING.sub("", text, count=1) if GREETING.match(text) else text


def _talk(messages: Sequence[ChatMessage]) -> _Talk:
    said = [message for message in messages if message.role == "user"]
    text = " ".join(said[-1].content.split()) if said else ""
    is_chinese = bool(companion_chinese.HAN.search(text))
    return _Talk(
        text=text,
        language=companion_chinese if is_chinese else companion_english,
        phrases=CHINESE if is_chinese else ENGLISH,
        remembered=_without_fragments(tuple(_remembered(messages))),
        is_first=not any(message.role == "assistant" for message in messages),
    )


def _remembered(messages: Sequence[ChatMessage]) -> Iterator[str]:
    """The sentences of the recalled lines, newest first. Only system messages are believed to be memory.

    Before what this speaker said themselves stands their name.
    """
    speakers = [message.speaker for message in messages if message.role == "user"]
    own = f"{speakers[-1]}: " if speakers and speakers[-1] else ""
    for message in messages:
        if message.role != "system":
            continue
        for block in EVIDENCE.findall(message.content):
            for line in EVIDENCE_LINE.findall(block):
                yield from _facts(unescape(line).strip().removeprefix(own))


def _without_fragments(facts: tuple[str, ...]) -> tuple[str, ...]:
    """An answer that was interrupted is remembered as far as it was heard: the whole fact is meant.

    Only what speaks of nobody present can be the companion's own; "York" is no part of "Yorkshire".
    """
    return tuple(fact for fact in facts if not any(_is_fragment(fact, other) for other in facts))


def _is_fragment(fact: str, whole: str) -> bool:
    beginning = fact.rstrip(".")
    if not whole.startswith(beginning) or len(whole) <= len(fact):
        return False
    return whole[len(beginning)] == " " and not _language_of(fact).FIRST_PERSON.search(fact)


def _facts(line: str) -> Iterator[str]:
    """Memory also holds questions, requests and what was answered, seen from the other side: none is a fact."""
    line = NOT_WORDS.sub("", line)
    if line.startswith(OWN_BEGINNINGS):
        return
    for sentence in SENTENCE_END.split(_without_greeting(line)):
        if _is_fact(sentence):
            yield sentence


def _is_fact(sentence: str) -> bool:
    language = _language_of(sentence)
    is_told = language.FIRST_PERSON.search(sentence) or not language.SECOND_PERSON.search(sentence)
    if not is_told or language.is_question(sentence) or language.FILLER.fullmatch(sentence):
        return False
    plain = language.without_lead_in(sentence)
    return not (language.REQUEST.match(plain) or language.FORGET.match(plain))


def _language_of(text: str) -> Language:
    return companion_chinese if companion_chinese.HAN.search(text) else companion_english


def _greeting(talk: _Talk) -> str:
    if not any(map(str.isalnum, talk.text)):
        return talk.phrases.not_understood
    return talk.phrases.hello if talk.is_first else talk.phrases.hello_again


def _answer(talk: _Talk, question: str) -> str:
    asked = talk.language.read(question)
    read = [(fact, talk.language.read(fact)) for fact in talk.remembered if _language_of(fact) is talk.language]
    fits = [(asked.fit(reading), fact, reading) for fact, reading in read]
    best = max((fit for fit, _, _ in fits), default=0.0)
    # The newest of those that fit about equally well: people change their minds.
    for fit, fact, reading in fits:
        if fit > 0 and fit >= best - SAME_FIT:
            if fit >= GOOD_FIT:
                return talk.phrases.known.format(fact=_told(talk, fact))
            if fit >= NEAR_FIT and asked.is_near(reading):
                return talk.phrases.nearest.format(fact=_told(talk, fact))
    return talk.phrases.unknown if asked.is_personal else talk.phrases.beyond


def _everything(talk: _Talk) -> str:
    facts = [fact for fact in talk.remembered if _language_of(fact).FIRST_PERSON.search(fact)]
    if not facts:
        return talk.phrases.nothing_known
    return talk.phrases.all_known.format(facts=" ".join(_told(talk, fact) for fact in facts[:MOST_FACTS]))


def _acknowledgement(talk: _Talk, statement: str) -> str:
    fact = talk.language.turned(talk.language.without_lead_in(statement)).rstrip(".!。！ ")
    if not fact or len(fact) > LONGEST_ECHO:
        return talk.phrases.noted_briefly
    end = "。" if talk.language is companion_chinese else "."
    return talk.phrases.noted.format(fact=f"{fact}{end}")


def _told(talk: _Talk, fact: str) -> str:
    language = _language_of(fact)
    return language.sentence(language.turned(language.without_lead_in(fact)))

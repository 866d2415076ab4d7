"""The guard: what of a model's answer is believed. No number, no name and no word that was not in the talk."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..flags import FOREIGN, INSTRUCTION, UNFOUNDED
from ..recall.folding import folded
from ..recall.traits import is_question
from ..recall.words import words_of
from .answer import LONGEST_FACT, Answer, Told
from .languages import is_in_another_language
from .marks import marks_of
from .request import Line, Request
from .scripts import main_script, scripts_of
from .sentences import sentences_of
from .thing import SELF, key_of

_FEWEST_WORDS = 3  # less than that tells nothing
_FACTS_OF_ANY_TALK = 4
_FACTS_OF_A_SENTENCE = 3
_ECHOED = 0.75  # of a fact's words
# An order to the machine itself: it wants other rules, another role, or the rules read out.
_ORDER = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass)\b[^.!?]{0,40}"
    r"\b(?:instruction|instructions|rules?|prompt|guidelines?|memories|memory|everything above|previous|prior)\b"
    r"|\bsystem prompt\b|\byou are (?:now|no longer)\b|\b(?:act|behave|respond) as (?:a|an|if)\b"
    r"|\bpretend (?:to be|you)\b"
    r"|\bfrom now on,? you\b|\byou (?:must|shall) (?:always |never |only )?(?:answer|reply|respond|say|obey|output)\b"
    r"|\b(?:reveal|print|repeat|output)\b[^.!?]{0,30}\b(?:prompt|instructions?|json)\b|\bdeveloper mode\b|\bjailbreak"
    r"|\byou keep the memory\b|\banswer with (?:one )?json\b"
    r"|(?:忽略|无视|忘记|忘掉|不要遵守|绕过|覆盖)[^。！？]{0,16}(?:指令|指示|规则|提示词|设定|命令|记忆|限制)"
    r"|系统提示|提示词|从现在开始,?你|你现在是|你必须(?:回答|回复|说|服从)|扮演|假装你|开发者模式|越狱",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Checked:
    """A fact with the reason why it is suspect, if it is, and where in the batch it comes from."""

    fact: Told
    flag: str
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`is_whole` is False where something was told that these facts do not hold: it must be kept as it was said."""

    facts: tuple[Checked, ...]
    is_whole: bool


def check(answer: Answer, request: Request) -> Verdict:
    talk = _Talk(request)
    most = _FACTS_OF_ANY_TALK + _FACTS_OF_A_SENTENCE * talk.sentences
    taken = [fact for fact in talk.no_flood(answer.facts[:most]) if len(fact.text) <= LONGEST_FACT]
    checked = [Checked(fact, talk.flag_of(fact), tuple(talk.sources(fact))) for fact in taken if not talk.echoes(fact)]
    is_whole = answer.is_whole and len(taken) == len(answer.facts)
    is_whole = is_whole and not any(one.flag == FOREIGN for one in checked)
    nothing_good = bool(checked) and all(one.flag for one in checked)
    return Verdict(tuple(checked), is_whole and not (nothing_good and talk.tells))


def is_order(text: str) -> bool:
    """Whether a text wants to change how the machine works."""
    return _ORDER.search(folded(text)) is not None


def tells(text: str) -> bool:
    """Whether there was surely something to be remembered in what a person said."""
    return not is_question(text) and not is_order(text) and len(set(words_of(text))) >= _FEWEST_WORDS


class _Talk:
    """What a request showed, as the guard looks at it."""

    def __init__(self, request: Request) -> None:
        self._request = request
        messages = [line.message for line in request.lines]
        self._texts = [message.content for message in messages]
        self.tells = any(tells(message.content) for message in messages if message.role == "user")
        self.sentences = sum(len(sentences_of(text)) for text in self._texts)
        said = [marks_of(text) for text in self._texts]
        self._specific = frozenset(word for marks in said for word in marks.specific)
        self._all = frozenset(word for marks in said for word in marks.words)
        self._scripts = scripts_of(self._texts)
        shown = [thing.name for thing in request.things] + [name for thing in request.things for name in thing.also]
        speakers = [message.speaker for message in messages if message.speaker]
        self._names = frozenset(word for name in (*shown, *speakers) for word in marks_of(name).words)
        self._known = [marks_of(memory.text).words for memory in request.known]

    def sources(self, fact: Told) -> list[int]:
        """All of the talk where the model did not say which."""
        found = self._request.sources(fact.sources)
        return found or sorted({line.source for line in self._request.lines})

    def no_flood(self, facts: Sequence[Told]) -> list[Told]:
        """Not more of one message than it can have told."""
        taken: list[Told] = []
        counts: Counter[tuple[int, ...]] = Counter()
        for fact in facts:
            counts[fact.sources] += 1
            if counts[fact.sources] <= self._most_of(fact.sources):
                taken.append(fact)
        return taken

    def _most_of(self, numbers: Sequence[int]) -> int:
        lines = [self._request.lines[number - 1] for number in numbers if 0 < number <= len(self._request.lines)]
        told = sum(len(sentences_of(line.message.content)) for line in lines) if lines else self.sentences
        return 1 + _FACTS_OF_A_SENTENCE * told

    def _lines(self, fact: Told) -> list[Line]:
        """Where the model says that it comes from."""
        return [self._request.lines[number - 1] for number in fact.sources if 0 < number <= len(self._request.lines)]

    def flag_of(self, fact: Told) -> str:
        if is_order(fact.text):
            return INSTRUCTION
        if self._is_translated(fact):
            return FOREIGN
        return "" if self._is_founded(fact.text) else UNFOUNDED

    def echoes(self, fact: Told) -> bool:
        """Only the assistant said it, and that was what it had been reminded of."""
        lines = self._lines(fact)
        by_assistant = all(line.message.role == "assistant" for line in lines) if lines else fact.by == "assistant"
        words = marks_of(fact.text).words
        return by_assistant and any(len(words & known) >= _ECHOED * len(words) for known in self._known if words)

    def _is_translated(self, fact: Told) -> bool:
        """Into another language, or a script of which the talk has nothing, or some names at most."""
        script = main_script(fact.text)
        if not script or not self._scripts:
            return False
        if script not in self._scripts:
            return True
        texts = [line.message.content for line in self._lines(fact)] or self._texts
        if any(main_script(text) == script for text in texts):
            return is_in_another_language(fact.text, texts)
        said = frozenset(word for text in texts for word in marks_of(text).specific)
        return any(main_script(word) == script for word in marks_of(fact.text).specific - said)

    def _is_founded(self, text: str) -> bool:
        """A word in common, or a name; but not where all that is named or counted comes from nowhere."""
        marks = marks_of(text)
        shared = marks.specific & self._specific
        named = marks.names | frozenset(marks.numbers)
        if named and not named & (self._all | self._names) and 2 * len(shared) < len(marks.specific):
            return False
        if shared or marks.words & self._names:
            return True
        return not marks.specific and bool(marks.words & self._all)


def founded_things(names: Sequence[str], request: Request) -> frozenset[str]:
    """The keys of those names that were said or are known: nobody else is put into the memory."""
    said = folded("\n".join(line.message.content for line in request.lines))
    speakers = {key_of(line.message.speaker) for line in request.lines if line.message.speaker}
    known = {key for thing in request.things for key in thing.keys} | speakers | {SELF}
    return frozenset(key for name in names if (key := key_of(name)) in known or key in said)

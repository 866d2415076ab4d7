"""How the companion reads English: what is a question, which words matter, whose thing it is, and I turned into you."""

import re
from itertools import islice

from .companion_reading import WEAK_WEIGHT, Reading

QUESTION_START = re.compile(
    r"(?:and |so |but )?(?:what|where|who|whom|whose|which|why|how)(?:'s|s|'re)?\b(?! an? )"
    r"|when(?:'s)? (?:is|are|was|were|do|does|did|will|can|should|am|has|have)\b"
    r"|(?:do|does|did|is|are|am|was|were|can|could|will|would|should|may|have|has) "
    r"(?:i|you|we|my|our|your|he|she|they)\b"
    r"|(?:can|could|will|would) you tell\b|(?:please )?(?:tell|remind) me (?!to\b)"
    r"|do you (?:still )?(?:know|remember)\b",
    re.IGNORECASE,
)
# Words before a question that only make it polite: what follows may still be about the person.
ASKED_POLITELY = re.compile(
    r"(?:and |so |but )?(?:please )?(?:(?:do|can|could|will|would) you )?(?:still |please )*"
    r"(?:know|remember|tell|remind)\b",
    re.IGNORECASE,
)
YOU_FIRST = re.compile(r"(?:do|did|are|were|can|could|will|would|have|should) you\b", re.IGNORECASE)
_PLEASE = r"(?:please |let's |now |i want you to |(?:can|could|will|would|must|should) you (?:please )?)*"
REQUEST = re.compile(
    rf"{_PLEASE}(?:(?:turn|switch) (?:on|off|up|down|the|my|it)\b|set (?:an?|the|my|up)\b"
    r"|play (?:an?|some|the|me|my|music)\b|(?:sing|read|write|send|show|give|make|find|get|bring|order|buy)"
    r" (?:me|us|an?|the|some)\b|sing[.!]*$|tell (?:me|us) (?:an?|another|some) (?:joke|story|tale|fairy|riddle|poem)"
    r"|(?:open|close|start|stop|lock) (?:the|my)\b|(?:remind|wake) (?:me|us) (?:to|up|at|in|on)\b|help (?:me|us)\b"
    r"|call (?:my|our|the|an?|him|her|them|mum|mom|dad|grandma|grandpa)\b|search (?:for|the)\b|look up\b|translate\b"
    r"|calculate\b|count to\b|ignore (?:all|the|my|your|every|previous|what)\b|say (?:that|something|hello|my)\b"
    r"|repeat\b|pretend\b)",
    re.IGNORECASE,
)
FORGET = re.compile(
    rf"{_PLEASE}(?:you (?:can|must|should) )?(?:(?:forget|delete|erase)\b(?!-)|remove (?:all|every|that|my|the)\b)",
    re.IGNORECASE,
)
# Each word is parted from the next, so that a long laugh can be read in one way only.
_FILLER_WORD = (
    r"(?:ok(?:ay)?|yes|yeah|yep|no|nope|sure|fine|cool|great|nice|good|h+m+|(?:ha)+|wow|oh|ah|right|all ?right|well|lol"
    r"|really|i see|exactly|correct|stop|wait)"
)
FILLER = re.compile(rf"{_FILLER_WORD}(?:[\s,.!]+{_FILLER_WORD})*[\s,.!]*", re.IGNORECASE)
# Words before a statement that add nothing to it.
LEAD_IN = re.compile(
    r"(?:(?:please )?(?:remember|note|write down|keep in mind|know|(?:don't|do not) forget)(?: that)?[:,]?|by the way,?"
    r"|just so you know,?|i want you to (?:know|remember) that|for your information,?|actually,?|in fact,?|well,?|oh,?"
    r"|hey,?|no,|(?:no,? )?wait,?|sorry,?|i mean,?|correction[:,]?)\s+",
    re.IGNORECASE,
)
REWORDED = (
    (re.compile(r"\bwho am i\b"), "what is my name"),
    (re.compile(r"\bwhat do i do(?: for a living)?[ ?.!]*$"), "what is my job"),
    (re.compile(r"\bi(?: am|'m) ([A-Z][a-z]+)[.!]?$", re.IGNORECASE), r"my name is \1"),
    (re.compile(r"\b(i|we)(?:'ve| have)? (?:just |now )?moved to\b"), r"\1 live in"),
    (re.compile(r"\bi(?:'ve| have)? (?:just )?turned (\d+)\b"), r"i am \1 years old"),
    (re.compile(r"\b(?:like|love|prefer|enjoy)s? (.{0,20}?)\b(?:best|most)\b"), r"favourite \1"),
    (re.compile(r"\b(mother|father|mum|mom|dad|sister|brother|son|daughter|parents)[ -]in[ -]law\b"), r"\1inlaw"),
)
CONTRACTIONS = (("won't", "will not"), ("can't", "can not"), ("n't", " not"), ("'m", " am"), ("'re", " are"))
WORD = re.compile(r"[a-z0-9]+")

STOP = frozenset(
    """
    a about again all also am an and any are as at be been being but by can could did do does doing done else ever for
    get had he her here him his how i if in into is it its just know let may me mine my no not now of on or our ours out
    please really remember said say she should so some still tell than that the their them then there they thing this
    to told too up us very was we were what whats when where which who whom whose why will with would yes you your yours
    s d ll ve re t m
    """.split()  # noqa: SIM905 prose is easier to keep than a list
)
# Words that many facts share: alone they do not tell which one is meant.
WEAK = frozenset(
    """
    age colour date day favourite from have kind like many month much name number place sort time today type usual week
    year
    """.split()  # noqa: SIM905
)
ADJECTIVES = frozenset(
    """
    favourite best new old older oldest young younger youngest little big first last own current next main real full
    dear good great red blue green black white
    """.split()  # noqa: SIM905
)
VARIANTS = """
age: old years aged
allergic: allergy allergies
birthday: born birth
build: built
buy: bought
child: kid kids children
choose: chose chosen
colour: color colors colours
come: came
drink: drank drunk
drive: drove driven
eat: ate eaten
father: dad daddy papa
favourite: favorite favorites favourites
fly: flew flown
give: gave given
go: went goes gone
grow: grew grown
have: has having own owns
hide: hid hidden
job: work works working worked profession
keep: kept
leave: left
live: lives lived living address
lose: lost
make: made
meet: met
mother: mum mom mama mummy mommy
name: named names call called
pay: paid
phone: telephone mobile
see: saw seen
sell: sold
sing: sang sung
sleep: slept
speak: spoke spoken
study: studies studied studying
take: took taken
teach: taught
think: thought
wear: wore worn
win: won
write: wrote written
"""
SAME = {
    variant: word
    for word, _, variants in (line.partition(":") for line in VARIANTS.strip().splitlines())
    for variant in variants.split()
}

TURNS = {
    "i am": "you are", "i'm": "you are", "i was": "you were", "i've": "you have", "i'll": "you will",
    "i'd": "you would", "am i": "are you", "was i": "were you", "i": "you", "my": "your", "mine": "yours", "me": "you",
    "myself": "yourself", "we're": "you are", "we've": "you have", "we'll": "you will", "we": "you", "our": "your",
    "ours": "yours", "us": "you", "ourselves": "yourselves", "you are": "I am", "you're": "I am",
    "you were": "I was", "your": "my", "yours": "mine", "yourself": "myself", "you": "me",
}  # fmt: skip
TURNED_WORD = re.compile(
    r"(?<![\w'])(?:" + "|".join(sorted(map(re.escape, TURNS), key=len, reverse=True)) + r")(?![\w'])", re.IGNORECASE
)
FIRST_PERSON = re.compile(r"\b(?:i|my|me|mine|we|our|us)\b", re.IGNORECASE)
SECOND_PERSON = re.compile(r"\b(?:you|your|yours)\b", re.IGNORECASE)


def is_question(text: str) -> bool:
    return text.rstrip().endswith("?") or bool(QUESTION_START.match(text.strip()))


def asks_about_the_companion(question: str) -> bool:
    """What is asked of "you" and not of "me": where you live, not whether you know where I live."""
    asked = question.strip().replace("’", "'")
    if ASKED_POLITELY.match(asked):
        return False
    return bool(YOU_FIRST.match(asked) or (SECOND_PERSON.search(asked) and not FIRST_PERSON.search(asked)))


def without_lead_in(text: str) -> str:
    while found := LEAD_IN.match(text):
        text = text[found.end() :]
    return text


def turned(text: str) -> str:
    return TURNED_WORD.sub(lambda found: _turned_word(found.group()), text)


def _turned_word(word: str) -> str:
    # The country is no pronoun.
    return word if word == "US" else TURNS[word.lower()]


def sentence(text: str) -> str:
    text = text.strip().rstrip(".!?")
    return f"{text[:1].upper()}{text[1:]}."


def read(text: str) -> Reading:
    words = [SAME.get(word, word) for word in _words(text)]
    content = [word for word in words if word not in STOP]
    return Reading(
        parts={stem(word): WEAK_WEIGHT if word in WEAK else 1.0 for word in content},
        telling=frozenset(stem(word) for word in content if word not in WEAK),
        held=frozenset(map(stem, words)),
        possessions=frozenset(_possessions(words)),
        says_i="i" in words,
        is_personal=bool(FIRST_PERSON.search(text)),
    )


def stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    word = word.removesuffix("e")
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def _words(text: str) -> list[str]:
    text = text.replace("’", "'").lower()
    for pattern, replacement in REWORDED:
        text = pattern.sub(replacement, text)
    for short, long in CONTRACTIONS:
        text = text.replace(short, long)
    return WORD.findall(text)


def _possessions(words: list[str]) -> list[str]:
    """What follows "my", past its adjectives."""
    found: list[str] = []
    for position, word in enumerate(words):
        if word in ("my", "our"):
            things = (following for following in words[position + 1 :] if following not in ADJECTIVES)
            found.extend(stem(thing) for thing in islice(things, 1))
    return found

"""People with memories, as many as wanted: what they told, what they may ask, and an embedder that only looks up."""

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.embedding.minilm import MiniLmEmbedder

_FIRST_DAY = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)
_TALK = 20  # lines of one session

_listed = str.split

# What people are asked about again and again: the question, how it was told, and what might be told.
_NAMES = _listed("Ada Ben Cleo Dov Elin Finn Greta Hugo Ines Jonas Kira Leo Mira Noah Olga Paul Quinn Rosa Sven Tara")
_CITIES = _listed(
    "Lisbon Oslo Utrecht Halifax Chengdu Porto Graz Turku Bergen Leeds Kyoto Quito Perth Lyon Basel Ghent"
)
_KNOWN = (
    ("What is my name?", "My name is {}.", _NAMES),
    ("Where do I live?", "I live in {}.", _CITIES),
    ("What is my dog called?", "Our dog is called {}.", _listed("Biscuit Rex Luna Momo Pepper Oskar Nala Waffle")),
    ("What is my job?", "I work as a {}.", _listed("nurse teacher baker pilot plumber lawyer gardener florist")),
    ("What am I allergic to?", "I am allergic to {}.", _listed("peanuts shellfish pollen penicillin milk cats")),
    ("Who is my sister?", "My sister's name is {}.", _NAMES),
    ("What is my favourite colour?", "My favourite colour is {}.", _listed("teal amber navy olive coral violet")),
    ("Which instrument do I play?", "I play the {}.", _listed("cello flute piano violin drums guitar harp")),
    ("What do I drink in the morning?", "In the morning I drink {}.", _listed("cocoa espresso tea juice water")),
    ("When is my birthday?", "My birthday is in {}.", _listed("January March April June July October")),
    ("What is my favourite dish?", "I love eating {}.", _listed("risotto ramen pierogi tacos curry lasagne")),
    ("Which sport do I do?", "I go {} every week.", _listed("rowing climbing fencing swimming cycling running")),
    ("What is my brother's profession?", "My brother became a {}.", _listed("judge chef vet tailor miner actor")),
    ("What car do we have?", "We drive a {} car.", _listed("red grey green silver white black")),
    ("Where did we go on holiday?", "We spent our holiday in {}.", _CITIES),
    ("What book am I reading?", "I am reading a book about {}.", _listed("whales glaciers opera robots bees rivers")),
    ("Who is my best friend?", "My best friend is {}.", _NAMES),
    ("What is my grandmother afraid of?", "My grandmother is afraid of {}.", _listed("thunder spiders flying dogs")),
    ("What does my son study?", "My son studies {}.", _listed("law physics history biology music chemistry")),
    ("What do I collect?", "I collect {}.", _listed("stamps coins postcards stones teapots maps")),
)
_WHO = [*_NAMES, "my sister", "my neighbour", "my boss", "the doctor", "our teacher", "my cousin", "my son", "a friend"]
_DID = (
    "cooked lunch", "repaired the bicycle", "painted the fence", "watched a film", "played chess", "planted tomatoes",
    "visited the museum", "missed the train", "baked a cake", "went for a walk", "lost the keys", "bought new shoes",
    "talked about the budget", "cleaned the garage", "heard a concert", "learned some Spanish", "took photographs",
    "fed the ducks", "waited for the bus", "built a shelf", "wrote a long letter", "tried the new restaurant",
    "practised for the exam", "watered the plants", "went to the dentist", "read the newspaper", "sold the old sofa",
)  # fmt: skip
_WHERE = [*_CITIES, "the garden", "the kitchen", "the park", "the office", "the library", "the harbour", "the market"]
_WHEN = (
    "on Monday", "last night", "before breakfast", "after work", "in the rain", "at the weekend", "in the morning",
    "yesterday", "around noon", "late in the evening", "during the holidays", "twice this month", "on my birthday",
)  # fmt: skip
_FELT = ("and it was fun", "but I was tired", "and we laughed a lot", "which took for ever", "and it cost too much",
         "and nobody knew why", "so I slept well", "and the weather was fine", "but it went wrong")  # fmt: skip
_NOISE = 0.6  # how far the vectors of the mass lie from those that they are derived from


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the text that answers it."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Person:
    user_id: str
    lines: Sequence[str]
    asked: Sequence[Asked]

    def messages(self) -> Iterator[SpokenMessage]:
        for number, line in enumerate(self.lines):
            yield SpokenMessage("user", line, _FIRST_DAY + timedelta(hours=number // _TALK * 20, seconds=number))

    def talks(self) -> Iterator[tuple[str, list[SpokenMessage]]]:
        """Their sessions."""
        said = list(self.messages())
        for begin in range(0, len(said), _TALK):
            yield f"session {begin // _TALK}", said[begin : begin + _TALK]


def people(count: int, lines: int, *, seed: int = 1) -> Iterator[Person]:
    """Each has told one fact for each of the known questions (or as many as there is room for) among other things."""
    for number in range(count):
        dice = random.Random(f"{seed} {number}")
        known = dice.sample(_KNOWN, min(len(_KNOWN), lines))
        asked = [Asked(question, told.format(dice.choice(values))) for question, told, values in known]
        told = [one.answer for one in asked] + [event(dice) for _ in range(lines - len(asked))]
        dice.shuffle(told)
        yield Person(f"person-{number:05}", told, asked)


def event(dice: random.Random) -> str:
    """Something that happened: several million different ones."""
    return (
        f"{dice.choice(_WHEN).capitalize()} {dice.choice(_WHO)} and I {dice.choice(_DID)} in {dice.choice(_WHERE)}"
        f" with {dice.choice(_NAMES)} {dice.choice(_FELT)}."
    )


def short_sentences(dice: random.Random) -> list[str]:
    """What is known of a household, told to somebody: some thousands of different ones, of 8 to 14 tokens."""
    told = [told.format(value).removesuffix(".") for _, told, values in _KNOWN for value in values]
    sentences = [f"{one}, {name}." for one in told for name in _NAMES]
    dice.shuffle(sentences)
    return sentences


class LookupEmbedder:
    """The model's own vectors of everything that is asked for or answers, and of enough events to derive the others
    from: each is one of these with noise, so that they lie in heaps as real ones do. Takes no time to speak of.
    """

    name = "looked up"
    dimensions = 384
    multilingual = False

    def __init__(self, known: dict[str, Vectors], bases: Vectors) -> None:
        self._known = known
        self._bases = bases

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if len(texts) == 1 and texts[0] in self._known:
            return self._known[texts[0]][np.newaxis]
        return self.embed_now(texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._known[text] if text in self._known else self._derived(text) for text in texts])

    async def close(self) -> None:
        """Nothing is open."""

    def _derived(self, text: str) -> Vectors:
        dice = np.random.default_rng(zlib.crc32(text.encode()))
        vector = self._bases[dice.integers(len(self._bases))].copy()
        vector += dice.standard_normal(self.dimensions, np.float32) * np.float32(_NOISE / self.dimensions**0.5)
        unit: Vectors = vector / np.linalg.norm(vector)
        return unit


def lookup_embedder(model: MiniLmEmbedder, *, events: int = 1000) -> LookupEmbedder:
    """Made with the real model."""
    dice = random.Random(0)
    texts = [question for question, _, _ in _KNOWN]
    texts += [told.format(value) for _, told, values in _KNOWN for value in values]
    vectors = model.embed_now(texts)
    bases = model.embed_now([event(dice) for _ in range(events)])
    return LookupEmbedder(dict(zip(texts, vectors, strict=True)), bases)

"""An owner's memories at hand: the same answers as by a statement, never older than the last change."""

import random
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import EngineOptions, FoundMemory, MemoryEngine, SearchOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]
NOW = datetime.now(UTC).replace(microsecond=0)
AT_HAND = EngineOptions(drain=DrainOptions(first_retry_s=60))
BY_STATEMENT = replace(AT_HAND, search=SearchOptions(index_cache_mb=0, index_page=0))
WORDS = (
    "dog", "tea", "garden", "music", "favourite", "colour", "sister", "train",
    "lunch", "school", "doctor", "blue", "green", "kitchen", "book",
)  # fmt: skip
VOICES: tuple[tuple[str | None, Literal["user", "assistant"]], ...] = (
    ("Ann", "user"),
    ("Bob", "user"),
    (None, "user"),
    (None, "assistant"),
)
QUESTIONS = (
    "What is my favourite colour?",
    "Does my sister like tea in the garden?",
    "Which book?",
    "What do you know about me?",
    "What happened in May?",
    "What did Ann say about the doctor?",
    "zebra",
)


class FailingEmbedder(WordEmbedder):
    """Refuses whatever has this word in it: such an entry stays in the outbox."""

    async def embed(self, texts: Any) -> Any:
        if any("unsaved" in text for text in texts):
            raise RuntimeError("the embedder is ill")
        return await super().embed(texts)


def sentence(dice: random.Random) -> str:
    words = " ".join(dice.choices(WORDS, k=dice.randrange(1, 9)))
    return f"{words.capitalize()}{dice.choice('..?')}"


def messages(dice: random.Random, count: int, began_at: datetime) -> list[SpokenMessage]:
    """A talk: who speaks changes, and some things are said at the same moment."""
    talk = []
    for number in range(count):
        speaker, role = dice.choice(VOICES)
        spoken_at = began_at + timedelta(seconds=10 * (number - number % 2))
        talk.append(SpokenMessage(role, sentence(dice), spoken_at, speaker))
    return talk


async def fill(engine: MemoryEngine, dice: random.Random, user_id: str, sessions: int, longest: int = 8) -> None:
    for number in range(sessions):
        began_at = NOW - timedelta(days=dice.randrange(400), seconds=dice.randrange(80000))
        await engine.add(
            messages(dice, dice.randrange(1, longest), began_at),
            user_id=user_id,
            agent_id=dice.choice(["bot", "tutor"]),
            run_id=dice.choice([None, "run"]),
            session_id=dice.choice([None, f"session {number}", "one for all"]),
            metadata=dice.choice([None, {"kind": dice.choice(["fact", "wish"])}]),
            expires_at=dice.choice([None, None, NOW + timedelta(days=1)]),
        )


def answers(found: list[FoundMemory]) -> list[tuple[uuid.UUID, float, float | None]]:
    return [(one.memory.id, one.score, one.semantic_score) for one in found]


def assert_same(one: list[FoundMemory], other: list[FoundMemory]) -> None:
    """The same memories with the same scores; equals may change places."""
    assert [score for _, score, _ in answers(one)] == pytest.approx([score for _, score, _ in answers(other)], abs=2e-4)
    pairs = zip(one, other, strict=True)
    swapped = [(a, b) for a, b in pairs if a.memory.id != b.memory.id]
    assert all(abs(a.score - b.score) < 2e-4 for a, b in swapped)
    by_id = {found.memory.id: found for found in other}
    for found in one:
        same = by_id.get(found.memory.id)
        if same is not None:
            assert same.memory == found.memory
            assert (same.semantic_score is None) == (found.semantic_score is None)
            assert same.semantic_score == pytest.approx(found.semantic_score, abs=2e-4)
    # Whoever stands in one list only is as good as the last.
    missing = {found.memory.id for found in one} ^ set(by_id)
    assert all(abs(found.score - one[-1].score) < 2e-4 for found in (*one, *other) if found.memory.id in missing)


@pytest.mark.parametrize("seed", range(6))
async def test_both_ways_give_the_same_answers(start_engine: Any, seed: int) -> None:
    dice = random.Random(seed)
    async with start_engine(FailingEmbedder(), AT_HAND) as quick, start_engine(FailingEmbedder(), BY_STATEMENT) as slow:
        await fill(quick, dice, "ann", sessions=dice.choice([1, 8, 25]))
        await fill(quick, dice, "bob", sessions=5)
        for number in range(3):  # these wait in the outbox
            talk = messages(dice, 2, NOW - timedelta(minutes=dice.randrange(9)))
            talk[0] = replace(talk[0], content=f"unsaved {talk[0].content}")
            session = dice.choice([None, "session 0", "one for all", "a new one"])
            await slow.enqueue(talk, user_id="ann", agent_id="bot", session_id=session, key=f"{number}")
        for _ in range(3):  # more often than it takes for a plan that fits everybody
            for question in QUESTIONS:
                for asked in (
                    {},
                    {"agent_id": "bot"},
                    {"agent_id": "tutor", "run_id": "run"},
                    {"filters": {"kind": "fact"}},
                    {"agent_id": "bot", "filters": {"NOT": [{"role": "assistant"}]}},
                ):
                    ways = [await engine.search(question, user_id="ann", top_k=8, **asked) for engine in (quick, slow)]
                    assert_same(*ways)


async def test_both_ways_give_the_same_answers_without_an_embedder(start_engine: Any) -> None:
    class NoEmbedder(WordEmbedder):
        ill = False

        async def embed(self, texts: Any) -> Any:
            if self.ill:
                raise RuntimeError("the embedder is ill")
            return await super().embed(texts)

    embedder = NoEmbedder()
    async with start_engine(embedder, AT_HAND) as quick, start_engine(embedder, BY_STATEMENT) as slow:
        await fill(quick, random.Random(3), "ann", sessions=12)
        embedder.ill = True
        for question in QUESTIONS:
            assert_same(*[await engine.search(question, user_id="ann", top_k=8) for engine in (quick, slow)])


async def test_large_owners_best_answers_are_the_same_both_ways(start_engine: Any) -> None:
    dice = random.Random(5)
    async with start_engine(None, AT_HAND) as quick, start_engine(None, BY_STATEMENT) as slow:
        await fill(quick, dice, "ann", sessions=300, longest=12)
        at_once = {question: await quick.search(question, user_id="ann", top_k=3) for question in QUESTIONS[:3]}
        await until(lambda: "ann" in quick._searcher._cache._kept)
        for question, found in at_once.items():
            assert_same(await quick.search(question, user_id="ann", top_k=3), found)
            assert_same(found, await slow.search(question, user_id="ann", top_k=3))

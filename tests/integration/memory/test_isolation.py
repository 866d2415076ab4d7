"""Several owners at once, each doing anything, also with ids of the others: everybody only ever meets their own, and an
agent only what it heard itself or what is shared with it.

A plan is a list of steps for each owner. The owners work at the same time, and what each of them sees is compared with
a model that knows nothing but this owner's own steps.
"""

import asyncio
import itertools
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import MemoryEngine, MemoryNotFoundError, StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.testing import WordEmbedder

Pool = AsyncConnectionPool[AsyncConnection[Any]]

OWNERS = ("ann", "ann%", "Ann", "an_")
SAID_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
OTHER_AGENT = {"bot": "tutor", "tutor": "bot"}
EVERYTHING = "the secret word"  # stands in every text


@dataclass(frozen=True, slots=True)
class Step:
    """`whose` and `which` name a memory: the n-th that this owner ever added, whether it is still there or not."""

    do: str
    agent: str | None
    run: str | None
    whose: int
    which: int
    text: str


@dataclass(frozen=True, slots=True)
class Known:
    text: str
    agent: str
    run: str
    note: int | None = None


@dataclass
class Owner:
    """What one owner must see. `waiting` is in the outbox: found at once, listed sooner or later."""

    name: str
    ids: list[uuid.UUID] = field(default_factory=list)
    memories: dict[uuid.UUID, Known] = field(default_factory=dict)
    waiting: set[Known] = field(default_factory=set)
    events: dict[uuid.UUID, list[tuple[str, str | None, str | None]]] = field(default_factory=dict)
    granted: set[tuple[str, str]] = field(default_factory=set)

    def texts(self, agent: str | None, run: str | None) -> set[str]:
        return {one.text for one in self.memories.values() if _fits(one, agent, run)}

    def waiting_texts(self, agent: str | None, run: str | None) -> set[str]:
        return {one.text for one in self.waiting if _fits(one, agent, run)}

    def recalled(self, agent: str | None, run: str | None, also: tuple[str, ...]) -> set[str]:
        """What a search must find: what is shared with the agent too."""
        agents = [agent, *also, *(other for reader, other in self.granted if reader == agent)]
        return {text for one in agents for text in self.texts(one, run) | self.waiting_texts(one, run)}

    def forget(self, id: uuid.UUID) -> None:
        self.events[id].append(("DELETE", self.memories.pop(id).text, None))


def _fits(one: Known, agent: str | None, run: str | None) -> bool:
    return agent in (None, one.agent) and run in (None, one.run)


class World:
    """All owners of one plan, on an engine that is shared by all plans."""

    def __init__(self, engine: MemoryEngine, number: int) -> None:
        self._engine = engine
        self._owners = [Owner(f"{name}{number}") for name in OWNERS]
        self._numbers = itertools.count()

    async def run(self, plan: list[list[Step]]) -> None:
        await asyncio.gather(*(self._live(owner, steps) for owner, steps in zip(self._owners, plan, strict=True)))
        for owner in self._owners:
            await self._check_everything(owner)

    async def _live(self, owner: Owner, steps: list[Step]) -> None:
        for step in steps:
            await getattr(self, f"_{step.do}")(owner, step)

    async def _add(self, owner: Owner, step: Step) -> None:
        text = self._text(owner, step)
        messages = [SpokenMessage("user", text, SAID_AT)]
        (memory,) = await self._engine.add(messages, user_id=owner.name, agent_id=step.agent, run_id=step.run)
        owner.ids.append(memory.id)
        owner.memories[memory.id] = Known(text, step.agent or "", step.run or "")
        owner.events[memory.id] = [("ADD", None, text)]

    async def _enqueue(self, owner: Owner, step: Step) -> None:
        text = self._text(owner, step)
        await self._engine.enqueue([SpokenMessage("user", text, SAID_AT)], user_id=owner.name, agent_id=step.agent)
        owner.waiting.add(Known(text, step.agent or "", ""))

    async def _search(self, owner: Owner, step: Step) -> None:
        scope: dict[str, Any] = {"user_id": owner.name, "agent_id": step.agent, "run_id": step.run}
        also = (OTHER_AGENT[step.agent],) if step.agent and step.which == 4 else ()
        hits = await self._engine.search(EVERYTHING, top_k=500, also_agents=also, **scope)
        found = [self._own(owner, hit.memory).text for hit in hits]
        assert len(found) == len(set(found))
        assert set(found) == owner.recalled(step.agent, step.run, also)
        ids = [id for one in self._owners for id in one.ids]
        present = await self._engine.present(ids, user_id=owner.name, agent_id=step.agent, also_agents=also)
        assert {owner.memories[id].text for id in present} <= owner.recalled(step.agent, None, also)

    async def _share(self, owner: Owner, step: Step) -> None:
        reader, other = step.agent or "bot", OTHER_AGENT[step.agent or "bot"]
        new = await self._engine.share(user_id=owner.name, agent_id=reader, from_agent=other, done_by="a test")
        assert new == ((reader, other) not in owner.granted)
        owner.granted.add((reader, other))

    async def _unshare(self, owner: Owner, step: Step) -> None:
        reader, other = step.agent or "bot", OTHER_AGENT[step.agent or "bot"]
        gone = await self._engine.unshare(user_id=owner.name, agent_id=reader, from_agent=other, done_by="a test")
        assert gone == ((reader, other) in owner.granted)
        owner.granted.discard((reader, other))

    async def _get_all(self, owner: Owner, step: Step) -> None:
        scope: dict[str, Any] = {"user_id": owner.name, "agent_id": step.agent, "run_id": step.run}
        # The filter names everybody, which must not help.
        filters = {"OR": [{"user_id": one.name} for one in self._owners]}
        listed = [self._own(owner, one).text for one in await self._engine.get_all(filters=filters, **scope)]
        known, waiting = owner.texts(step.agent, step.run), owner.waiting_texts(step.agent, step.run)
        assert len(listed) == len(set(listed))
        assert known <= set(listed) <= known | waiting

    async def _get(self, owner: Owner, step: Step) -> None:
        id = self._named(step)
        memory, known = await self._engine.get(id, user_id=owner.name), owner.memories.get(id)
        if known is None:
            assert memory is None
        else:
            assert memory is not None
            assert self._own(owner, memory).text == known.text
            assert memory.metadata == (None if known.note is None else {"note": known.note})

    async def _update(self, owner: Owner, step: Step) -> None:
        id, text, note = self._named(step), self._text(owner, step), next(self._numbers)
        known = owner.memories.get(id)
        if known is None:
            with pytest.raises(MemoryNotFoundError):
                await self._engine.update(id, user_id=owner.name, text=text, metadata={"note": note})
            return
        await self._engine.update(id, user_id=owner.name, text=text, metadata={"note": note})
        owner.memories[id] = replace(known, text=text, note=note)
        owner.events[id].append(("UPDATE", known.text, text))

    async def _delete(self, owner: Owner, step: Step) -> None:
        id = self._named(step)
        if id not in owner.memories:
            with pytest.raises(MemoryNotFoundError):
                await self._engine.delete(id, user_id=owner.name)
            return
        await self._engine.delete(id, user_id=owner.name)
        owner.forget(id)

    async def _delete_all(self, owner: Owner, step: Step) -> None:
        scope: dict[str, Any] = {"user_id": owner.name, "agent_id": step.agent, "run_id": step.run}
        if step.run is not None:
            # What waits belongs to no run: it stays, saved or not.
            assert await self._engine.delete_all(**scope) == len(owner.texts(step.agent, step.run))
        else:
            known, waiting = owner.texts(step.agent, None), owner.waiting_texts(step.agent, None)
            assert len(known) <= await self._engine.delete_all(**scope) <= len(known | waiting)
            owner.waiting = {one for one in owner.waiting if not _fits(one, step.agent, None)}
        for id, one in list(owner.memories.items()):
            if _fits(one, step.agent, step.run):
                owner.forget(id)

    async def _history(self, owner: Owner, step: Step) -> None:
        id = self._named(step)
        events = await self._engine.history(id, user_id=owner.name)
        assert [(one.event, one.old_memory, one.new_memory) for one in events] == owner.events.get(id, [])
        assert {one.memory_id for one in events} <= {id}

    async def _check_everything(self, owner: Owner) -> None:
        everything = Step("", None, None, 0, 0, "")
        for agent in (None, *OTHER_AGENT):
            await self._search(owner, replace(everything, agent=agent))
        shares = await self._engine.shares(user_id=owner.name)
        assert {(one.user_id, one.agent_id, one.from_agent) for one in shares} == {
            (owner.name, *one) for one in owner.granted
        }
        await self._get_all(owner, everything)
        for whose, other in enumerate(self._owners):
            for which in range(len(other.ids)):
                step = replace(everything, whose=whose, which=which)
                await self._get(owner, step)
                await self._history(owner, step)

    def _named(self, step: Step) -> uuid.UUID:
        ids = self._owners[step.whose].ids
        return ids[step.which] if step.which < len(ids) else uuid.uuid4()

    def _text(self, owner: Owner, step: Step) -> str:
        return f"{EVERYTHING} number {next(self._numbers)} of {owner.name} is {step.text}"

    def _own(self, owner: Owner, memory: StoredMemory) -> StoredMemory:
        assert memory.user_id == owner.name
        return memory


@pytest.fixture
def engine_and_runner(database_dsn: str) -> Iterator[tuple[MemoryEngine, asyncio.Runner]]:
    async def opened(executor: ThreadPoolExecutor) -> tuple[Pool, MemoryEngine]:
        pool: Pool = AsyncConnectionPool(database_dsn, min_size=4, max_size=4, timeout=5, open=False)
        await pool.open(wait=True)
        engine = MemoryEngine(pool, WordEmbedder(), executor)
        await engine.start()
        return pool, engine

    with asyncio.Runner() as runner, ThreadPoolExecutor(2) as executor:
        pool, engine = runner.run(opened(executor))
        yield engine, runner
        runner.run(engine.stop(1.0))
        runner.run(pool.close())


steps = st.builds(
    Step,
    do=st.sampled_from(
        [
            *("add", "add", "add", "enqueue", "search", "search", "get_all", "get", "update", "delete", "delete_all"),
            *("history", "share", "share", "unshare"),
        ]
    ),
    agent=st.sampled_from([None, "bot", "tutor"]),
    run=st.sampled_from([None, None, "one"]),
    whose=st.integers(0, len(OWNERS) - 1),
    which=st.integers(0, 4),
    text=st.sampled_from(["teal", "plum", "七"]),
)
plans = st.tuples(*(st.lists(steps, max_size=14) for _ in OWNERS)).map(list)


def test_everybody_only_ever_meets_their_own(engine_and_runner: tuple[MemoryEngine, asyncio.Runner]) -> None:
    engine, runner = engine_and_runner
    numbers = itertools.count()

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(plans)
    def lives(plan: list[list[Step]]) -> None:
        runner.run(World(engine, next(numbers)).run(plan))

    lives()

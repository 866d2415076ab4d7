"""Memory on mem0's stores where there is no PostgreSQL of ours: everything a tool may ask for."""

import asyncio
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import StandInCloud
from tests.integration.memory.killed_plain import KEY, TEXTS
from tests.integration.memory.mem0_world import embedder, llm, said
from tests.integration.memory.plain_world import plain, put_internal
from tests.integration.memory.test_mem0_stores import milvus_was_used, no_milvus_is_left  # noqa: F401 - fixtures
from tests.support.scripted_model import ScriptedModel
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0 import faiss_files
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.beside_file import FileBeside
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.other_store import StoreFailedError
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.plain_engine import PlainEngine
from xiaozhi_server.core.providers.memory.mem0ai.errors import InvalidIdError, MemoryNotFoundError, NoModelError
from xiaozhi_server.core.providers.memory.mem0ai.facts.once import Talk
from xiaozhi_server.core.providers.memory.mem0ai.own_file import OwnFileError
from xiaozhi_server.core.providers.memory.mem0ai.plain_home import PlainHome, ProviderConfigError, open_plain
from xiaozhi_server.core.providers.memory.mem0ai.records import StoredMemory
from xiaozhi_server.core.providers.memory.mem0ai.rows.listing import cursor_of
from xiaozhi_server.core.providers.memory.mem0ai.scope import Scope

ROOT = Path(__file__).parents[3]
STORES = ["qdrant", "milvus", "faiss"]


@pytest.fixture(params=STORES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PlainEngine]:
    async with plain(request.param, tmp_path) as engine:
        yield engine


async def texts_of(engine: PlainEngine, owner: str = "ann") -> list[str]:
    return sorted(memory.text for memory in await engine.get_all(user_id=owner))


# --- the basics ---


async def test_add_find_look_up_change_and_delete(engine: PlainEngine) -> None:
    memory, other = await engine.add(
        [said("I like plums."), said("I row a boat.")], user_id="ann", agent_id="bot", metadata={"kind": "taste"}
    )
    (best, *_) = await engine.search("plums", user_id="ann", filters={"kind": "taste"})
    assert (best.memory, best.memory.metadata) == (memory, {"kind": "taste"})
    assert 0 < best.score <= 1 and best.semantic_score is not None
    assert await engine.get(memory.id, user_id="ann") == memory
    changed = await engine.update(memory.id, user_id="ann", text="I like plums and tea.")
    assert await engine.get(memory.id, user_id="ann") == changed
    await engine.delete(memory.id, user_id="ann")
    events = await engine.history(memory.id, user_id="ann")
    assert [(one.event, one.old_memory, one.new_memory) for one in events] == [
        ("ADD", None, "I like plums."),
        ("UPDATE", "I like plums.", "I like plums and tea."),
        ("DELETE", "I like plums and tea.", None),
    ]
    assert await engine.get(memory.id, user_id="ann") is None
    assert await engine.get_all(user_id="ann") == [other]
    assert await engine.delete_all(user_id="ann", agent_id="tutor") == 0
    assert await engine.delete_all(user_id="ann") == 1
    assert await engine.search("plums", user_id="ann") == []


async def test_nobody_reaches_what_is_somebody_elses(engine: PlainEngine) -> None:
    (memory,) = await engine.add([said("I like plums.")], user_id="ann")
    assert await engine.get(memory.id, user_id="bob") is None
    assert await engine.history(memory.id, user_id="bob") == []
    for call in (engine.update(memory.id, user_id="bob", text="mine"), engine.delete(memory.id, user_id="bob")):
        with pytest.raises(MemoryNotFoundError):
            await call
    for bad in ("*", "", 7):
        with pytest.raises(InvalidIdError):
            await engine.delete_all(user_id=bad)  # type: ignore[arg-type]
        with pytest.raises(InvalidIdError):
            await engine.list_by_agent(agent_id=bad)  # type: ignore[arg-type]
    assert await engine.get_all(user_id="ann") == [memory]


async def test_whose_a_memory_is_is_known_also_when_it_is_gone(engine: PlainEngine) -> None:
    (memory,) = await engine.add([said("I like plums.")], user_id="ann")
    assert await engine.owner_of(str(memory.id)) == "ann"
    await engine.delete(memory.id, user_id="ann")
    assert await engine.owner_of(memory.id) == "ann"
    assert await engine.owner_of(uuid.uuid4()) is None
    assert await engine.owner_of("no such id") is None


async def test_what_an_agent_heard_of_whomever(engine: PlainEngine) -> None:
    for owner in ("ann", "bob"):
        await engine.add([said(f"{owner} likes plums.")], user_id=owner, agent_id="bot", metadata={"of": owner})
        await engine.add([said(f"{owner} likes tea.")], user_id=owner, agent_id="tutor")
    found = await engine.search_by_agent("Who likes plums?", agent_id="bot")
    assert {one.memory.text for one in found} == {"ann likes plums.", "bob likes plums."}
    (only,) = await engine.search_by_agent("plums", agent_id="bot", filters={"of": "bob"})
    assert only.memory.user_id == "bob"
    first = await engine.list_by_agent(agent_id="tutor", top_k=1)
    rest = await engine.list_by_agent(agent_id="tutor", cursor=cursor_of(first[-1]))
    assert {one.text for one in (*first, *rest)} == {"ann likes tea.", "bob likes tea."}
    assert len(first) == len(rest) == 1


async def test_one_owner_is_found_among_many(engine: PlainEngine) -> None:
    for number in range(60):
        await engine.add([said("I like plums."), said("I like tea.")], user_id=f"other {number}")
    (memory,) = await engine.add([said("Somebody said that plums are fine.")], user_id="ann")
    assert [one.memory for one in await engine.search("I like plums.", user_id="ann")] == [memory]


# --- internal records ---


@pytest.mark.parametrize("mark", ["true", True], ids=["text", "boolean"])
async def test_internal_records_are_never_shown_searched_counted_or_deleted(engine: PlainEngine, mark: Any) -> None:
    memories = await engine.add([said(f"I like plums of kind {number}.") for number in range(3)], user_id="ann")
    ids = [uuid.uuid4() for _ in range(80)]  # more than a question fetches
    await put_internal(engine, memories[0], ids, mark)
    found = await engine.search("I like plums of kind 0.", user_id="ann", top_k=5)
    assert {one.memory.id for one in found} == {memory.id for memory in memories}
    filtered = await engine.search("plums", user_id="ann", filters={"role": "user"})
    assert {one.memory.id for one in filtered} == {memory.id for memory in memories}
    assert len(await engine.get_all(user_id="ann", top_k=3)) == 3
    assert await engine.get(ids[0], user_id="ann") is None
    assert await engine.owner_of(ids[0]) is None
    with pytest.raises(MemoryNotFoundError):
        await engine.delete(ids[0], user_id="ann")
    assert await engine.delete_all(user_id="ann") == 3
    assert {record.id for record in await engine.store.internal(Scope("ann"), limit=1000)} == set(ids)
    assert await engine.forget(user_id="ann") == 0
    assert await engine.store.internal(Scope("ann"), limit=1000) == []


# --- once under a key ---


async def test_the_same_key_adds_nothing_a_second_time(engine: PlainEngine) -> None:
    messages = [said(text) for text in TEXTS]
    first = await engine.add(messages, user_id="ann", key=KEY)
    (changed, _) = (await engine.update(first[0].id, user_id="ann", text="I like pears."), None)
    again = await engine.add(messages, user_id="ann", key=KEY)
    assert [memory.id for memory in again] == [first[1].id]  # what was changed meanwhile is somebody else's by now
    assert await texts_of(engine) == sorted([changed.text, TEXTS[1]])
    await engine.delete_all(user_id="ann")
    assert await engine.add(messages, user_id="ann", key=KEY) == []
    assert await texts_of(engine) == []


async def test_a_repeated_add_replaces_what_the_first_one_left(
    engine: PlainEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = engine.store.insert

    async def half(rows: Any, batch: str = "") -> None:
        await insert(rows[:1], batch)
        raise StoreFailedError("the answer is lost")

    monkeypatch.setattr(engine.store, "insert", half)
    with pytest.raises(StoreFailedError):
        await engine.add([said(text) for text in TEXTS], user_id="ann", key=KEY)
    assert await texts_of(engine) == [TEXTS[0]]
    monkeypatch.undo()
    await engine.add([said(text) for text in TEXTS], user_id="ann", key=KEY)
    assert await texts_of(engine) == sorted(TEXTS)


@pytest.mark.parametrize("step", ["inserted", "noting", "all done"])
async def test_killed_while_adding(step: str, tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("killed_plain.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, str(tmp_path), step, env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL
    async with plain("qdrant", tmp_path) as engine:
        assert len(await engine.add([said(text) for text in TEXTS], user_id="ann", agent_id="bot", key=KEY)) == 2
        assert await texts_of(engine) == sorted(TEXTS)


# --- faults ---


@pytest.mark.parametrize("dies_at", ["replace", "fsync"])
async def test_a_kill_while_faiss_is_written_leaves_the_old_or_the_new(tmp_path: Path, dies_at: str) -> None:
    async with plain("faiss", tmp_path) as engine:
        await engine.add([said("I like plums."), said("I row a boat.")], user_id="ann")
    script = str(Path(__file__).with_name("killed_plain.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, str(tmp_path), dies_at, "faiss", env={"PYTHONPATH": str(ROOT)}
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL
    async with plain("faiss", tmp_path) as engine:
        assert {"I like plums.", "I row a boat."} <= set(await texts_of(engine))
        await engine.add([said(text) for text in TEXTS], user_id="bob", key=KEY)
        (best, *_) = await engine.search("boat", user_id="ann")
        assert best.memory.text == "I row a boat."
        assert [one.memory.text for one in await engine.search("tea", user_id="bob", top_k=1)] == ["I like tea."]


async def test_torn_files_of_faiss_are_told_and_not_written_over(tmp_path: Path) -> None:
    async with plain("faiss", tmp_path) as engine:
        await engine.add([said("I like plums.")], user_id="ann")
    (names,) = (tmp_path / "faiss").glob("*.json")
    whole = names.read_text()
    names.write_text(whole[: len(whole) // 2])
    with pytest.raises(ProviderConfigError, match="do not belong together"):
        async with plain("faiss", tmp_path):
            pass
    names.write_text(whole)
    async with plain("faiss", tmp_path) as engine:
        assert await texts_of(engine) == ["I like plums."]


async def test_what_faiss_cannot_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with plain("faiss", tmp_path) as engine:

        def full(*_: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(faiss_files, "_to_disk", full)
        with pytest.raises(StoreFailedError, match="OSError"):
            await engine.add([said("I like plums.")], user_id="ann")


async def test_a_store_that_fails_is_an_error_and_nothing_is_noted(
    engine: PlainEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (memory,) = await engine.add([said("I like plums.")], user_id="ann")
    for name in ("insert", "update", "delete"):
        monkeypatch.setattr(engine.store._store, name, None)
    calls = (
        engine.add([said("I like tea.")], user_id="ann"),
        engine.update(memory.id, user_id="ann", text="I like pears."),
        engine.delete(memory.id, user_id="ann"),
        engine.delete_all(user_id="ann"),
    )
    for call in calls:
        with pytest.raises(StoreFailedError, match=f"{engine.store.provider} failed: TypeError"):
            await call
    monkeypatch.undo()
    assert [one.event for one in await engine.history(memory.id, user_id="ann")] == ["ADD"]
    monkeypatch.setattr(engine.store._store, "search", None)
    monkeypatch.setattr(engine.store._store, "list", None)
    for call in (engine.search("plums", user_id="ann"), engine.get_all(user_id="ann")):  # type: ignore[assignment]
        with pytest.raises(StoreFailedError):
            await call


async def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.db").mkdir()
    async with plain("qdrant", tmp_path) as engine:
        (memory,) = await engine.add([said("I like plums.")], user_id="ann")
        with pytest.raises(OwnFileError, match=r"notes\.db cannot be read or written"):
            await engine.history(memory.id, user_id="ann")


async def test_many_at_once_all_arrive(engine: PlainEngine) -> None:
    adds = [engine.add([said(f"Number {n} is said.")], user_id="ann", key=f"write {n}") for n in range(20)]
    await asyncio.gather(*adds)
    assert await texts_of(engine) == sorted(f"Number {n} is said." for n in range(20))


async def test_two_programs_note_in_one_file(tmp_path: Path) -> None:
    async with plain("qdrant", tmp_path / "store") as engine:
        memories = await engine.add([said(f"Number {n}.") for n in range(40)], user_id="ann")
    ready = threading.Barrier(2)

    def note(half: list[StoredMemory]) -> None:
        async def work() -> None:
            beside = FileBeside(tmp_path / "notes.db")
            ready.wait(30)
            for memory in half:
                async with beside.noting() as notes:
                    await notes.changed(memory, "DELETE", None)
            await beside.close()

        asyncio.run(work())

    threads = [threading.Thread(target=note, args=(half,)) for half in (memories[:20], memories[20:])]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    beside = FileBeside(tmp_path / "notes.db")
    owners = [await beside.owner(memory.id) for memory in memories]
    events = [len(await beside.events(Scope("ann"), memory.id, None)) for memory in memories]
    await beside.close()
    assert (set(owners), set(events)) == ({"ann"}, {2})


async def test_a_person_who_is_forgotten_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    async with plain("qdrant", tmp_path) as engine:
        (memory,) = await engine.add([said("I like sassafras.")], user_id="ann", key=KEY)
        await engine.delete(memory.id, user_id="ann")
        assert b"sassafras" in _bytes(tmp_path)
        assert await engine.forget(user_id="ann") == 0
        assert await engine.history(memory.id, user_id="ann") == []
        assert b"sassafras" not in _bytes(tmp_path)


def _bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("notes.db*"))


# --- opened from its configuration ---


def config_of(cloud: StandInCloud, **parts: Any) -> dict[str, Any]:
    return {"embedder": embedder(cloud), "vector_store": {"provider": "qdrant", "config": {}}, **parts}


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[PlainHome, ScriptedModel, StandInCloud]]:
    async with StandInCloud() as cloud, ScriptedModel() as model:
        reranker = {"provider": "llm_reranker", "config": {"llm": llm(cloud)}}
        home = await open_plain(config_of(cloud, llm=model.part(), reranker=reranker), tmp_path)
        try:
            yield home, model, cloud
        finally:
            await home.close(1.0)


async def test_facts_are_made_once_and_what_they_replace_is_noted(tmp_path: Path) -> None:
    async with opened(tmp_path) as (home, model, _):
        memory = home.memory
        model.answers = {"memory": [{"text": "Lives in Munich."}]}
        talk = [said("I live in Munich.", minutes_ago=60)]
        (change,) = await memory.add(talk, user_id="ann", agent_id="bot", infer=True, key=KEY)
        assert (change.event, change.memory.text) == ("ADD", "Lives in Munich.")
        asked = len(model.asked)
        (again,) = await memory.add(talk, user_id="ann", agent_id="bot", infer=True, key=KEY)
        assert (again.event, again.memory.id, len(model.asked)) == ("NONE", change.memory.id, asked)
        model.answers = {"memory": [{"text": "Moved to Berlin.", "replaces": [1]}]}
        await memory.add([said("I have moved to Berlin.")], user_id="ann", agent_id="bot", infer=True)
        events = await memory.history(change.memory.id, user_id="ann")
        assert [one.event for one in events] == ["ADD", "SUPERSEDE"]
        assert home.model is not None and home.memory.infers


async def test_an_add_of_facts_that_was_cut_off_loses_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first try has left is not taken for something that was known before."""
    async with opened(tmp_path) as (home, model, _):
        memory = home.memory
        model.answers = {"memory": [{"text": "Has a dog."}]}
        insert = memory.store.insert

        async def cut(rows: Any, batch: str = "") -> None:
            await insert(rows, batch)
            raise StoreFailedError("the answer is lost")

        monkeypatch.setattr(memory.store, "insert", cut)
        with pytest.raises(StoreFailedError):
            await memory.add([said("I have a dog.")], user_id="ann", infer=True, key=KEY)
        monkeypatch.undo()
        model.answers = {"memory": [{"text": "Has a dog.", "same_as": 1}]}
        await memory.add([said("I have a dog.")], user_id="ann", infer=True, key=KEY)
        assert await texts_of(memory) == ["Has a dog."]


async def test_talks_are_learned_and_undone_by_their_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as (home, model, _):
        memory = home.memory
        model.answers = {"memory": [{"text": "Has a dog."}]}
        talk = Talk.of("c1", [said("I have a dog.")])
        (change,) = await memory.learn([talk], user_id="ann", agent_id="app", key="lesson", subtype="semantic")
        assert (change.memory.subtype, change.memory.session_id) == ("semantic", "c1")
        assert await memory.undo("lesson", user_id="ann") == 1
        assert await texts_of(memory) == []


async def test_every_part_gives_a_sign_of_life_and_a_reranker_is_asked(tmp_path: Path) -> None:
    async with opened(tmp_path) as (home, model, cloud):
        model.answers = {"ok": True}
        assert home.checks.keys() == {"embedder", "vector_store", "llm"}
        await home.checks["embedder"]()
        await home.checks["vector_store"]()
        await home.memory.add([said("I like tea."), said("I like plums.")], user_id="ann")
        assert len(await home.memory.search("Do I like tea?", user_id="ann")) == 2
        assert [request.service for request in cloud.requests].count("chat") == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"vector_store": None}, "vector_store is missing"),
        ({"embedder": None}, "embedder is missing"),
        ({"vector_store": {"provider": "nonesuch", "config": {}}}, "vector_store.provider 'nonesuch' is not known"),
        ({"llm": {"provider": "openai", "config": {"temprature": 1}}}, "llm"),
        ({"vector_store": "qdrant"}, "vector_store must be an object"),
    ],
)
async def test_what_cannot_be_opened_is_named(tmp_path: Path, given: dict[str, Any], told: str) -> None:
    async with StandInCloud() as cloud:
        with pytest.raises(ProviderConfigError, match=told):
            await open_plain(config_of(cloud, **given), tmp_path)


async def test_without_a_model_facts_are_refused(tmp_path: Path) -> None:
    async with StandInCloud() as cloud:
        home = await open_plain(config_of(cloud), tmp_path)
        try:
            with pytest.raises(NoModelError):
                await home.memory.add([said("I have a dog.")], user_id="ann", infer=True)
            assert home.model is None and not home.memory.infers
        finally:
            await home.close(1.0)


# --- what is loaded ---

_LOADED = """
import importlib.abc, sys

class NoMiniLm(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if ".embedding.minilm" in name:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoMiniLm())
base = "xiaozhi_server.core.providers.memory.mem0ai"
for name in ("engine", "self_hosted", "plain_home", "platform.memory"):
    importlib.import_module(f"{base}.{name}")
heavy = {"mem0", "openai", "redis", "aiohttp", "onnxruntime", "tokenizers", "qdrant_client", "pydantic"}
print(sorted(heavy & sys.modules.keys()))
"""


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    """The plugin's copy has no embedded model, and the daemon waits for its first sign of life."""
    done = subprocess.run([sys.executable, "-c", _LOADED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr

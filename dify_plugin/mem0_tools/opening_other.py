"""Memory in another of mem0's vector stores. What lies beside it (history, accepted writes) is in files of ours."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from xiaozhi_memory.mem0ai.accepting.file import FileJournal
from xiaozhi_memory.mem0ai.forgetting.forget_memories import Fading, InStore
from xiaozhi_memory.mem0ai.forgetting.use_records import UseRecords
from xiaozhi_memory.mem0ai.longterm.door import LongTerm
from xiaozhi_memory.mem0ai.longterm.records_store import StoreRecords
from xiaozhi_memory.mem0ai.longterm.writing import StepByStep
from xiaozhi_memory.mem0ai.plain_home import PlainHome, PlainOptions, open_plain

from .credentials import SelfHosted, Settings
from .extracting import Extracting, ceiling
from .forgetting import forgets
from .memory import Home
from .patience import ENGINE, EXTRACTION, LIMITS, RERANK
from .places import folder_for
from .writing import PARALLEL_MAX, Writing


async def open_other(settings: Settings, home: SelfHosted) -> Home:
    folder = folder_for(settings)
    options = PlainOptions(threads=PARALLEL_MAX, engine=ENGINE, extraction=EXTRACTION, rerank=RERANK, limits=LIMITS)
    plain = await open_plain(_parts(home), folder, options)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(plain.close, 0.0)
        made = _home(settings, plain, folder)
        opened.pop_all()
        return made


def _home(settings: Settings, plain: PlainHome, folder: Path) -> Home:
    journal = FileJournal(folder / "accepted.db", limit=settings.most_pending)
    writing = Writing(journal, plain.memory, parallel=settings.max_operations)
    writing.start()
    notes = StoreRecords(plain.store, plain.embedder.dimensions)
    longterm = _longterm(plain, notes)
    fading = Fading(InStore(plain.memory), UseRecords(plain.store, plain.embedder.dimensions))
    fading.start()
    plain.memory.recalls = fading

    async def close(deadline_s: float) -> None:
        try:
            await asyncio.gather(writing.stop(deadline_s), longterm.stop(deadline_s), fading.stop(deadline_s))
            await journal.close()
        finally:
            await plain.close(deadline_s)

    return Home(
        memory=plain.memory,
        close=close,
        writes=writing,
        longterm=Extracting(longterm),
        forgets=forgets(fading, notes, settings),
        beats={"the vector store": plain.store.ping},
        lacks=plain.memory.lacks,
    )


def _longterm(plain: PlainHome, notes: StoreRecords) -> LongTerm:
    assert plain.model is not None  # a language model is among what must be set
    return LongTerm(notes, lambda lock: StepByStep(plain.memory, notes, lock), plain.model, ceiling=ceiling())


def _parts(home: SelfHosted) -> dict[str, Any]:
    parts = {
        "llm": home.llm.as_mem0(),
        "embedder": home.embedder.as_mem0(),
        "vector_store": home.vector_store.as_mem0(),
    }
    return parts if home.reranker is None else {**parts, "reranker": home.reranker.as_mem0()}

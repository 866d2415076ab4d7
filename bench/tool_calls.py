"""Searches and adds as in Dify: threads call a tool, which asks a background loop; vectors and models over HTTP.

Ours is the plugin's own code from the call of a tool to its answer. Theirs hands `AsyncMemory.search` to a loop in a
thread of its own, as the public plugin does it.
"""

import asyncio
import importlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import aiohttp
import numpy as np

from bench.memory_data import Asked, Person
from bench.memory_speed import fill
from bench.processes import PROJECT, Process
from bench.stock_mem0 import StockMem0, StockOptions, open_stock_mem0
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed import Vectors
from xiaozhi_server.core.providers.memory.mem0ai.embedding.embed_openai import OpenAiEmbedder, OpenAiEmbedderConfig

_MODEL = "stand-in"
_DIMENSIONS = 384
_KEY = "none"
_OPERATIONS = 20
_THEIRS = StockOptions(least_connections=10, most_connections=20)
_TOP = 5
_OPENING_S = 60

Call = Callable[[Person, Asked], list[str]]


@dataclass(frozen=True, slots=True)
class ToolSpeed:
    """Milliseconds, calls a second, and the share of answers that had the right fact."""

    p50: float
    p95: float
    rate: float
    right: float


class HeldVectors:
    """The stand-in's vectors of what was said, fetched beforehand. A lookup embedder, as far as filling needs one."""

    name = _MODEL
    dimensions = _DIMENSIONS
    multilingual = True

    def __init__(self, known: dict[str, Vectors]) -> None:
        self._known = known

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return self.embed_now(texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._known[text] for text in texts])

    async def close(self) -> None:
        """Nothing is open."""


async def held_vectors(base_url: str, persons: Sequence[Person]) -> HeldVectors:
    embedder = OpenAiEmbedder(OpenAiEmbedderConfig(base_url, _MODEL, _KEY, timeout_s=60.0), _DIMENSIONS)
    texts = list({line for person in persons for line in person.lines})
    try:
        return HeldVectors(dict(zip(texts, await embedder.embed(texts), strict=True)))
    finally:
        await embedder.close()


def stand_in() -> Process:
    """In a process of its own: the callers' one has enough to do."""
    return Process(["firmware_sim", "cloud", "--port", "0"], r"(http://\S+/v1)")


# --- ours ---


@asynccontextmanager
async def our_tools(dsn: str, base_url: str, folder: Path) -> AsyncIterator["OurTools"]:
    tools = await asyncio.to_thread(OurTools, dsn, base_url, folder)
    try:
        yield tools
    finally:
        await asyncio.to_thread(tools.stop)


class OurTools:
    """The plugin without Dify's SDK."""

    def __init__(self, dsn: str, base_url: str, folder: Path) -> None:
        os.environ["MEM0_PLUGIN_DATA"] = str(folder)
        plugin = str(PROJECT / "dify_plugin")
        if plugin not in sys.path:
            sys.path.append(plugin)
        self._credentials = _credentials(dsn, base_url)
        self._caller = importlib.import_module("mem0_tools.process").caller()
        self._call("search_memory", query="Is it open?", user_id="nobody", timeout=_OPENING_S)

    def search(self, person: Person, asked: Asked) -> list[str]:
        told = self._call("search_memory", query=asked.question, user_id=person.user_id, top_k=_TOP)
        return [one["memory"] for one in told["results"]]

    def add(self, text: str, user_id: str) -> None:
        told = self._call("add_memory", user=text, user_id=user_id)
        if told["results"][0]["event"] != "ACCEPT":
            raise RuntimeError(f"not accepted: {told['status']}")

    def stop(self) -> None:
        importlib.import_module("mem0_tools.process").stop()

    def _call(self, tool: str, **parameters: Any) -> dict[str, Any]:
        told: dict[str, Any] = self._caller.call(tool, parameters, self._credentials).json
        if told["status"] != "SUCCESS":
            raise RuntimeError(f"{tool}: {told['status']}, {told['messages']}")
        return told


def _credentials(dsn: str, base_url: str) -> dict[str, Any]:
    def part(provider: str, **config: Any) -> str:
        return json.dumps({"provider": provider, "config": config})

    service = {"model": _MODEL, "api_key": _KEY, "openai_base_url": base_url}
    return {
        "local_llm_json_secret": part("openai", **service),
        "local_embedder_json_secret": part("openai", embedding_dims=_DIMENSIONS, **service),
        "local_vector_db_json_secret": part("pgvector", connection_string=dsn, embedding_model_dims=_DIMENSIONS),
        # Twice as many may wait: room for the queue that is measured.
        "max_concurrent_memory_operations": "200",
    }


async def filled(dsn: str, persons: Sequence[Person], vectors: HeldVectors) -> None:
    await fill(dsn, iter(persons), vectors)  # type: ignore[arg-type]


async def stalled(base_url: str) -> None:
    """From now on the model answers nobody."""
    root = base_url.removesuffix("/v1")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{root}/_control", json={"chat": {"mode": "stall"}}) as answer,
    ):
        answer.raise_for_status()


# --- theirs ---


class TheirTools:
    """As the public plugin does it."""

    def __init__(self, stock: StockMem0) -> None:
        self._stock = stock
        self._loop = asyncio.new_event_loop()
        self._slots = asyncio.Semaphore(_OPERATIONS)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def search(self, person: Person, asked: Asked) -> list[str]:
        return asyncio.run_coroutine_threadsafe(self._search(person, asked), self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._stock.close()

    async def _search(self, person: Person, asked: Asked) -> list[str]:
        async with self._slots:
            return await self._stock.search(asked.question, person.user_id, _TOP)


@asynccontextmanager
async def their_tools(
    dsn: str, base_url: str, folder: Path, persons: Sequence[Person], vectors: HeldVectors
) -> AsyncIterator[TheirTools]:
    service = {"model": _MODEL, "api_key": _KEY, "openai_base_url": base_url, "embedding_dims": _DIMENSIONS}
    embedder = {"provider": "openai", "config": service}
    stock = await asyncio.to_thread(open_stock_mem0, dsn, folder, vectors, persons, _THEIRS, embedder)
    tools = TheirTools(stock)
    try:
        yield tools
    finally:
        await asyncio.to_thread(tools.stop)


# --- measuring ---


def speed(call: Call, persons: Sequence[Person], callers: int, seconds: float) -> ToolSpeed:
    """Each thread calls anew as soon as it is answered."""
    until = time.perf_counter() + seconds

    def work(seed: int) -> list[tuple[float, bool]]:
        dice, done = random.Random(seed), list[tuple[float, bool]]()
        while time.perf_counter() < until:
            person = dice.choice(persons)
            asked = dice.choice(person.asked)
            began_at = time.perf_counter()
            # Never the same words twice: nobody has their vector already.
            found = call(person, Asked(f"{asked.question} #{seed}.{len(done)}", asked.answer))
            done.append(((time.perf_counter() - began_at) * 1000, asked.answer in found))
        return done

    began_at = time.perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        done = [one for part in threads.map(work, range(callers)) for one in part]
    rate = len(done) / (time.perf_counter() - began_at)
    p50, p95 = np.percentile([took for took, _ in done], [50, 95])
    return ToolSpeed(float(p50), float(p95), rate, fmean(is_right for _, is_right in done))


def accepting(tools: OurTools, queued: int, count: int, callers: int) -> list[float]:
    """How long each of `count` adds waits for its ACCEPT, in milliseconds, with so many in the queue before."""

    def accept(number: int) -> float:
        began_at = time.perf_counter()
        tools.add(f"I have been to town number {number}.", f"writer-{number}")
        return (time.perf_counter() - began_at) * 1000

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(accept, range(queued)))
        return list(threads.map(accept, range(queued, queued + count)))

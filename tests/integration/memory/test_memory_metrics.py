"""What operations see of the memory: the counters of a running server, moved by real turns."""

from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from firmware_sim.device import SimulatedDevice
from tests.support.edge_world import EdgeWorld, edge_world, until
from xiaozhi_server.core.providers.memory.mem0ai.observe import MemoryObserver
from xiaozhi_server.core.providers.memory.mem0ai.recall.floor import unrelated_texts
from xiaozhi_server.metrics import MemoryMetrics

WITH_MEMORY = {"selected_module.Memory": "mem0ai", "memory.recall_deadline_ms": 5000}
# What a start embeds: a first word, the same as a question, and what the floor is measured with.
AT_START = 2 + len(unrelated_texts(multilingual=False))


async def saved(world: EdgeWorld, count: int) -> None:
    async def holds() -> bool:
        return await world.metric("xiaozhi_memory_saved_total") == count

    await until(holds, f"{count} exchanges are saved")


async def embedded(world: EdgeWorld, count: int) -> bool:
    return await world.metric("xiaozhi_memory_embedded_texts_total") == count


async def test_a_turn_is_counted(database_dsn: str, tmp_path: Path) -> None:
    async with edge_world(database_dsn, tmp_path, WITH_MEMORY) as world:
        await until(partial(embedded, world, AT_START), "what a start embeds is counted")
        async with SimulatedDevice(world.server.ota_url) as device:
            await device.boot()
            await device.say_text("My dog is called Biscuit.")
            await saved(world, 1)
            assert await world.metric("xiaozhi_memory_recalls_total", outcome="nothing") == 1
            await device.say_text("What is my dog called?")
            await saved(world, 2)
        assert await world.metric("xiaozhi_memory_recalls_total", outcome="found") == 1
        assert await world.metric("xiaozhi_memory_recalls_total", outcome="late") == 0
        assert await world.metric("xiaozhi_memory_recalled_total") >= 1
        assert await world.metric("xiaozhi_memory_recall_seconds_count") == 2
        # Two questions, which are what the user said and so not embedded again to be saved, and two answers.
        assert await embedded(world, AT_START + 4)
        assert await world.metric("xiaozhi_memory_queue", state="waiting") == 0
        assert await world.metric("xiaozhi_memory_queue", state="dead") == 0


async def test_a_server_without_memory_shows_zeros(database_dsn: str, tmp_path: Path) -> None:
    async with edge_world(database_dsn, tmp_path) as world:
        assert await world.metric("xiaozhi_memory_recalls_total", outcome="found") == 0
        assert 'xiaozhi_memory_recalls_total{outcome="found"} 0.0' in await world.metrics()


def test_all_that_memory_tells_is_shown_with_its_labels() -> None:
    registry = CollectorRegistry()
    metrics = MemoryMetrics(registry)
    calls: dict[str, tuple[Any, ...]] = {
        "recall_done": (0.25, 2, True),
        "recall_failed": ("busy",),
        "saved": (3,),
        "save_failed": ("database",),
        "embedded": (4, 0.5),
        "embedding_failed": ("timeout",),
        "model_called": (120,),
        "facts_made": ({"new": 2, "flagged": 1},),
        "queue": (5, 1, 42.5),
        "maintained": ("forgetting", {"deleted": 7}, 1.5),
        "maintenance_failed": ("forgetting", "other"),
    }
    assert calls.keys() == {name for name in vars(MemoryObserver) if not name.startswith("_")}
    for name, given in calls.items():
        getattr(metrics, name)(*given)
    shown = set(generate_latest(registry).decode().splitlines())
    assert {
        'xiaozhi_memory_recalls_total{outcome="late"} 1.0',
        'xiaozhi_memory_recalls_total{outcome="found"} 0.0',
        "xiaozhi_memory_recall_seconds_sum 0.25",
        "xiaozhi_memory_recalled_total 2.0",
        'xiaozhi_memory_failures_total{kind="busy",work="recall"} 1.0',
        'xiaozhi_memory_failures_total{kind="database",work="save"} 1.0',
        'xiaozhi_memory_failures_total{kind="timeout",work="embedding"} 1.0',
        'xiaozhi_memory_failures_total{kind="other",work="daily forgetting"} 1.0',
        "xiaozhi_memory_saved_total 3.0",
        "xiaozhi_memory_embedded_texts_total 4.0",
        "xiaozhi_memory_embedding_seconds_sum 0.5",
        "xiaozhi_memory_model_calls_total 1.0",
        "xiaozhi_memory_model_tokens_total 120.0",
        'xiaozhi_memory_facts_total{kind="new"} 2.0',
        'xiaozhi_memory_facts_total{kind="flagged"} 1.0',
        'xiaozhi_memory_queue{state="waiting"} 5.0',
        'xiaozhi_memory_queue{state="dead"} 1.0',
        "xiaozhi_memory_queue_oldest_seconds 42.5",
        'xiaozhi_memory_maintained_total{step="forgetting",what="deleted"} 7.0',
        'xiaozhi_memory_maintenance_seconds{step="forgetting"} 1.5',
    } <= shown
    assert (registry.get_sample_value("xiaozhi_memory_maintained_timestamp_seconds", {"step": "forgetting"}) or 0) > 0

"""What operations see of the memory: the counters of a running server, moved by real turns."""

from functools import partial
from pathlib import Path

from firmware_sim.device import SimulatedDevice
from tests.support.edge_world import EdgeWorld, edge_world, until
from xiaozhi_server.core.providers.memory.mem0ai.recall.floor import unrelated_texts

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
        # Two questions, and both sides of two exchanges.
        assert await embedded(world, AT_START + 6)
        assert await world.metric("xiaozhi_memory_queue", state="waiting") == 0
        assert await world.metric("xiaozhi_memory_queue", state="dead") == 0


async def test_a_server_without_memory_shows_zeros(database_dsn: str, tmp_path: Path) -> None:
    async with edge_world(database_dsn, tmp_path) as world:
        assert await world.metric("xiaozhi_memory_recalls_total", outcome="found") == 0
        assert 'xiaozhi_memory_recalls_total{outcome="found"} 0.0' in await world.metrics()

"""Many devices at once against the whole server: every turn is answered, and what is counted adds up."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from firmware_sim.load import Load, LoadMode, LoadPlan, LoadResult, percentiles
from tests.support.running_server import running_server

WORKERS = {"work_0", "work_1"}


async def load(database_dsn: str, folder: Path, plan: LoadPlan) -> tuple[LoadResult, list[str]]:
    lines: list[str] = []
    async with running_server(database_dsn, folder) as server:
        plan = LoadPlan(server.ota_url, plan.devices, plan.turns, plan.mode, plan.period_s, plan.idle_s)
        return await Load(plan, lines.append).run(), lines


@pytest.mark.parametrize("mode", ["manual", "auto", "realtime"])
async def test_every_turn_of_every_device_is_answered(database_dsn: str, tmp_path: Path, mode: LoadMode) -> None:
    plan = LoadPlan("", devices=5, turns=1, mode=mode, period_s=1.0)
    result, lines = await load(database_dsn, tmp_path, plan)
    assert result.turns == len(result.first_audio_ms) == len(result.hello_ms) == 5
    assert result.frames > 5
    assert result.lost_frames == 0
    assert not result.failures
    assert "5 of 5 devices are connected" in lines


async def test_idle_devices_only_connect(database_dsn: str, tmp_path: Path) -> None:
    result, _ = await load(database_dsn, tmp_path, LoadPlan("", devices=20, mode="idle", idle_s=0.0))
    assert (result.turns, len(result.hello_ms)) == (0, 20)


async def test_the_command_prints_nothing_but_its_report_and_tells_its_progress_beside_it(
    database_dsn: str, tmp_path: Path
) -> None:
    options = ["--devices", "2", "--turns", "1", "--period", "1", "--json"]
    async with running_server(database_dsn, tmp_path) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "firmware_sim", "load", "--ota", server.ota_url, *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0
    report = json.loads(out)
    assert (report["devices"], report["turns_done"], report["failures"]) == (2, 2, {})
    assert report["first_audio_ms"].keys() == report["hello_ms"].keys() == {"p50", "p95", "p99", "max"}
    assert "2 of 2 devices are connected" in err.decode().splitlines()


async def test_the_number_of_threads_does_not_grow_with_the_devices(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers start when they are first needed: with two of them, a few devices soon need them all."""
    monkeypatch.setattr(os, "cpu_count", lambda: len(WORKERS))
    async with running_server(database_dsn, tmp_path) as server:
        while not {thread.name for thread in threading.enumerate()} >= WORKERS:
            await most_threads(server.ota_url, devices=5)
        few = await most_threads(server.ota_url, devices=5)
        assert await most_threads(server.ota_url, devices=40) == few


async def most_threads(ota_url: str, devices: int) -> int:
    """While so many devices talk, all at the same moment."""
    async with threads_counted() as counts:
        result = await Load(LoadPlan(ota_url, devices, turns=1, period_s=0.0), lambda _: None).run()
    assert result.turns == devices
    assert not result.failures
    return max(counts)


@asynccontextmanager
async def threads_counted() -> AsyncIterator[list[int]]:
    """Those of this process, where the server runs, whoever started them; again and again."""
    process = psutil.Process()
    counts: list[int] = []

    async def count() -> None:
        while True:
            counts.append(process.num_threads())
            await asyncio.sleep(0.02)

    counting = asyncio.create_task(count())
    try:
        yield counts
    finally:
        counting.cancel()


async def test_a_server_that_is_not_there_is_counted_and_not_raised() -> None:
    plan = LoadPlan("http://127.0.0.1:9/xiaozhi/ota/", devices=3, turns=1)
    result = await Load(plan, lambda _: None).run()
    assert sum(result.failures.values()) == 3
    assert result.report(plan)["hello_ms"] == {}


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}
    assert percentiles([float(n) for n in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}

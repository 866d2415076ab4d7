"""Many devices at once against the whole server: every turn is answered, and what is counted adds up."""

from pathlib import Path

from firmware_sim.load import Load, LoadPlan, LoadResult, percentiles
from tests.support.running_server import running_server


async def load(database_dsn: str, folder: Path, plan: LoadPlan) -> tuple[LoadResult, list[str]]:
    lines: list[str] = []
    async with running_server(database_dsn, folder) as server:
        plan = LoadPlan(server.ota_url, plan.devices, plan.turns, plan.mode, plan.period_s, plan.idle_s)
        return await Load(plan, lines.append).run(), lines


async def test_every_turn_of_every_device_is_answered(database_dsn: str, tmp_path: Path) -> None:
    plan = LoadPlan("", devices=5, turns=1, mode="manual", period_s=1.0)
    result, lines = await load(database_dsn, tmp_path, plan)
    assert result.turns == len(result.first_audio_ms) == len(result.hello_ms) == 5
    assert result.frames > 5
    assert result.lost_frames == 0
    assert not result.failures
    assert "5 of 5 devices are connected" in lines


async def test_idle_devices_only_connect(database_dsn: str, tmp_path: Path) -> None:
    result, _ = await load(database_dsn, tmp_path, LoadPlan("", devices=20, mode="idle", idle_s=0.0))
    assert (result.turns, len(result.hello_ms)) == (0, 20)


async def test_a_server_that_is_not_there_is_counted_and_not_raised() -> None:
    plan = LoadPlan("http://127.0.0.1:9/xiaozhi/ota/", devices=3, turns=1)
    result = await Load(plan, lambda _: None).run()
    assert sum(result.failures.values()) == 3
    assert result.report(plan)["hello_ms"] == {}


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0, "max": 7.0}
    assert percentiles([float(n) for n in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}

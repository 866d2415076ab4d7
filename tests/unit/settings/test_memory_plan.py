"""Who keeps the memories: what an entry of the Memory map means, and how long a turn waits for it."""

from pathlib import Path

import pytest

from xiaozhi_server.memory_plan import MemoryPlan, plan_memory, recall_deadline_s
from xiaozhi_server.settings import Files, Settings, SettingsError, choose_providers, load_settings

KEY = "m0-0123456789"
HOST = "http://127.0.0.1:8092"


def settings_with(folder: Path, entry: str, more: str = "") -> Settings:
    (folder / ".config.yaml").write_text(f"Memory: {{mem0ai: {{type: mem0ai, {entry}}}}}\n{more}", encoding="utf-8")
    return load_settings(Files(), environ={}, overrides={"data_dir": ("--data-dir", str(folder))})


def plan_for(folder: Path, entry: str, environ: dict[str, str] | None = None) -> MemoryPlan:
    return plan_memory(choose_providers(settings_with(folder, entry))["Memory"], environ or {})


def test_without_a_word_memories_stay_here(tmp_path: Path) -> None:
    assert plan_for(tmp_path, "") == MemoryPlan("database")


def test_nomem_is_nobody(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "", "selected_module: {Memory: nomem}")
    assert plan_memory(choose_providers(settings)["Memory"], {}) == MemoryPlan("nobody")


def test_with_a_key_the_platform_keeps_them(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, f"api_key: {KEY}, host: '{HOST}/', fallback: self_hosted")
    assert plan.keeper == "platform"
    assert plan.has_fallback
    assert plan.platform is not None
    assert (plan.platform.api_key, plan.platform.host) == (KEY, HOST)
    assert KEY not in repr(plan)


def test_the_version_of_the_interface_is_noted(tmp_path: Path) -> None:
    (line,) = plan_for(tmp_path, f"api_key: {KEY}, api_version: v1.1").notices
    assert "v1.1 is noted" in line


@pytest.mark.parametrize("entry", [f"host: '{HOST}'", "api_version: v1.1", "fallback: self_hosted"])
def test_the_key_of_the_environment_is_taken_where_the_platform_is_meant(tmp_path: Path, entry: str) -> None:
    plan = plan_for(tmp_path, entry, {"MEM0_API_KEY": KEY})
    assert plan.platform is not None
    assert plan.platform.api_key == KEY


def test_a_stray_key_of_the_environment_sends_nothing_away(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, "", {"MEM0_API_KEY": KEY})
    assert plan.keeper == "database"
    (line,) = plan.notices
    assert line.startswith("MEM0_API_KEY is set but not used")
    assert KEY not in line


def test_a_host_without_a_key_is_no_memory_and_one_line(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, f"host: '{HOST}'")
    assert plan.keeper == "nobody"
    (line,) = plan.notices
    assert "api_key: is missing" in line and line.endswith("nothing is remembered")
    assert plan_for(tmp_path, f"host: '{HOST}', fallback: self_hosted").keeper == "database"


@pytest.mark.parametrize("example", ["你的mem0ai api key", "your-key", "<key>", "${MEM0_API_KEY}"])
def test_an_example_key_counts_as_missing_and_is_one_line(tmp_path: Path, example: str) -> None:
    settings = settings_with(tmp_path, f"api_key: '{example}'")
    chosen = choose_providers(settings)
    (line,) = chosen.notices
    assert "Memory.mem0ai.api_key" in line and "counts as missing" in line
    assert plan_memory(chosen["Memory"], {}) == MemoryPlan("database")


def test_a_key_that_no_header_takes_is_one_line(tmp_path: Path) -> None:
    plan = plan_for(tmp_path, "api_key: 钥匙-0123456789")
    assert plan.keeper == "nobody"
    (line,) = plan.notices
    assert "钥匙" not in line


@pytest.mark.parametrize("wrong", ["host: api.mem0.ai", "fallback: cloud", "colour: red"])
def test_what_is_wrong_is_said_at_the_start(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"Memory\.mem0ai"):
        choose_providers(settings_with(tmp_path, wrong))


@pytest.mark.parametrize(
    ("entry", "more", "expected_s"),
    [
        ("", "", 0.08),
        (f"api_key: {KEY}", "", 1.5),
        (f"api_key: {KEY}", "memory: {recall_deadline_ms: 700}", 0.7),
        ("", "memory: {recall_deadline_ms: 700}", 0.7),
    ],
)
def test_how_long_a_turn_waits(tmp_path: Path, entry: str, more: str, expected_s: float) -> None:
    settings = settings_with(tmp_path, entry, more)
    assert recall_deadline_s(settings, choose_providers(settings)["Memory"]) == expected_s

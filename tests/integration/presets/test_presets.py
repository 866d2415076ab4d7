"""Every preset, as it is shipped, against three kinds of service: a full one, one with a model only, and an Ollama.

The whole server runs; what a service lacks must give way alone, and what a person named must not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.cloud.faults import SERVICES, Service
from firmware_sim.device import Habits, SimulatedDevice
from firmware_sim.speech import speak
from tests.support.log_lines import LogLines, log_lines
from tests.support.running_server import RunningServer, running_server
from xiaozhi_server.banner import Banner
from xiaozhi_server.check import probe_all
from xiaozhi_server.provider_room import KINDS
from xiaozhi_server.settings import Files, SettingsError, choose_providers, load_settings

KEY = "sk-preset-0123456789"
EMBEDDED = {"ASR": "none", "LLM": "companion", "TTS": "espeak"}
# Each preset's entries, and the prefix of its environment variables.
PRESETS: dict[str, tuple[str, dict[str, str]]] = {
    "openai": ("OPENAI", {"ASR": "OpenAIASR", "LLM": "OpenAILLM", "TTS": "OpenAITTS"}),
    "deepseek": ("DEEPSEEK", {"LLM": "DeepSeek"}),
    "ollama": ("OLLAMA", {"ASR": "OllamaASR", "LLM": "Ollama", "TTS": "OllamaTTS"}),
    "groq": ("GROQ", {"ASR": "GroqWhisper", "LLM": "Groq", "TTS": "GroqTTS"}),
    "siliconflow": ("SILICONFLOW", {"ASR": "SenseVoice", "LLM": "SiliconFlow", "TTS": "CosyVoice"}),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of service: what it has, and whether it wants a key."""

    services: tuple[Service, ...]
    has: tuple[str, ...]
    api_key: str | None = KEY


STAND_INS = {
    "full": Kind(SERVICES, KINDS),
    "chat only": Kind(("chat",), ("LLM",)),
    "Ollama-shaped": Kind(("chat", "models", "embeddings"), ("LLM",), api_key=None),
}


@dataclass(frozen=True, slots=True)
class World:
    server: RunningServer
    cloud: StandInCloud
    lines: LogLines

    @property
    def in_use(self) -> dict[str, str]:
        chosen = self.server.application.providers.chosen
        return {kind: chosen[kind].name for kind in KINDS}


def variables(preset: str, base_url: str, key: str = KEY) -> dict[str, str]:
    prefix, _ = PRESETS[preset]
    return {f"{prefix}_BASE_URL": base_url, f"{prefix}_API_KEY": key}


@asynccontextmanager
async def world(
    preset: str,
    kind: Kind,
    dsn: str,
    folder: Path,
    *,
    overrides: dict[str, Any] | None = None,
    key: str = KEY,
    files: Files | None = None,
    **faults: Fault,
) -> AsyncIterator[World]:
    with log_lines() as lines:
        async with StandInCloud(services=kind.services, api_key=kind.api_key, phrases=["Hello."]) as cloud:
            for service, fault in faults.items():
                setattr(cloud.faults, service, fault)
            environment = variables(preset, cloud.base_url, key)
            async with running_server(
                dsn, folder, overrides, preset=preset, environment=environment, files=files
            ) as server:
                yield World(server, cloud, lines)
    assert not lines.with_text(KEY)


@pytest.mark.parametrize("kind", STAND_INS.values(), ids=STAND_INS.keys())
@pytest.mark.parametrize("preset", PRESETS)
async def test_each_kind_that_cannot_serve_gives_way_alone(
    preset: str, kind: Kind, database_dsn: str, tmp_path: Path
) -> None:
    entries = PRESETS[preset][1]
    async with world(preset, kind, database_dsn, tmp_path) as running:
        assert running.in_use == EMBEDDED | {part: name for part, name in entries.items() if part in kind.has}
        asked = dict(running.cloud.counts)
        async with SimulatedDevice(running.server.ota_url, habits=Habits(mic_speed=20)) as device:
            await device.boot()
            reply = await device.say_text("Hello")
        assert reply.finished and reply.frames > 0
        assert reply.decode_errors == reply.unplayable == 0
        assert running.cloud.counts["chat"] > asked["chat"]
        speaks = "TTS" in entries and "TTS" in kind.has
        assert (running.cloud.counts["speech"] > asked.get("speech", 0)) == speaks
        for part, name in entries.items():
            lines = running.lines.with_text(f"{part}: {name} does not serve")
            assert len(lines) == (part not in kind.has)
            assert all(f"WARNING preset {preset} (presets/{preset}.yaml)" in line for line in lines)
            assert all(f"the embedded {EMBEDDED[part]} is used" in line for line in lines)


@pytest.mark.parametrize("preset", [name for name, (_, entries) in PRESETS.items() if "ASR" in entries])
async def test_a_full_service_hears_thinks_and_speaks(preset: str, database_dsn: str, tmp_path: Path) -> None:
    async with world(preset, STAND_INS["full"], database_dsn, tmp_path) as running:
        await running.cloud.warm_up()
        async with SimulatedDevice(running.server.ota_url, habits=Habits(mic_speed=20)) as device:
            await device.boot()
            reply = await device.say_pcm(speak("Hello."), mode="manual")
        assert reply.stt == "Hello."
        assert max(memoryview(reply.pcm).cast("h")) > 1000, "the reply is silence"


async def test_a_preset_with_a_model_only_says_so_and_keeps_it_from_thinking(database_dsn: str, tmp_path: Path) -> None:
    async with world("deepseek", STAND_INS["chat only"], database_dsn, tmp_path) as running:
        body = running.cloud.requests[-1].body
        assert body["thinking"] == {"type": "disabled"}
        assert body["model"] == "deepseek-flash" and body["stream"] is True
        (line,) = running.lines.with_text("has no recogniser and voice")
        assert line.endswith("none and espeak (embedded) stay in use")


async def test_the_banner_shows_what_serves(database_dsn: str, tmp_path: Path) -> None:
    async with world("ollama", STAND_INS["Ollama-shaped"], database_dsn, tmp_path) as running:
        banner = Banner(running.server.settings, running.server.application.providers.chosen).text(1, 2)
        assert "ASR none, LLM Ollama (openai), TTS espeak" in banner


async def test_what_data_config_yaml_names_is_kept_whatever_it_answers(database_dsn: str, tmp_path: Path) -> None:
    own = tmp_path / "data" / ".config.yaml"
    own.parent.mkdir()
    own.write_text("selected_module: {TTS: OpenAITTS, Memory: nomem}", encoding="utf-8")
    async with world("openai", STAND_INS["chat only"], database_dsn, tmp_path) as running:
        await running.lines.wait_for("OpenAITTS does not serve")
        assert running.in_use == {"ASR": "none", "LLM": "OpenAILLM", "TTS": "OpenAITTS"}
        (line,) = running.lines.with_text("TTS: OpenAITTS")
        assert line.startswith("WARNING ") and ".config.yaml: selected_module.TTS" in line
        assert "it is named there, so nothing takes its place" in line


async def test_what_data_config_yaml_names_wins_over_the_preset(database_dsn: str, tmp_path: Path) -> None:
    own = tmp_path / "data" / ".config.yaml"
    own.parent.mkdir()
    own.write_text(
        "selected_module: {TTS: espeak, Memory: nomem}\nLLM: {OpenAILLM: {model_name: mine}}", encoding="utf-8"
    )
    async with world("openai", STAND_INS["full"], database_dsn, tmp_path) as running:
        assert running.in_use == {"ASR": "OpenAIASR", "LLM": "OpenAILLM", "TTS": "espeak"}
        (chat,) = [request.body for request in running.cloud.requests if request.service == "chat"]
        assert chat["model"] == "mine"
        assert running.cloud.counts["speech"] == 0


def edited_config(folder: Path, **names: str) -> Files:
    """The shipped config.yaml with these names in `selected_module`."""
    text = Files().base.read_text(encoding="utf-8")
    for kind, name in names.items():
        assert text.count(f"\n  {kind}:\n") == 1, "as it is shipped it names none"
        text = text.replace(f"\n  {kind}:\n", f"\n  {kind}: {name}\n")
    base = folder / "config.yaml"
    base.write_text(text, encoding="utf-8")
    return Files(base)


async def test_what_an_edited_config_yaml_names_wins_over_the_preset(database_dsn: str, tmp_path: Path) -> None:
    files = edited_config(tmp_path, TTS="espeak", ASR="none")
    async with world("openai", STAND_INS["full"], database_dsn, tmp_path, files=files) as running:
        assert running.in_use == {"ASR": "none", "LLM": "OpenAILLM", "TTS": "espeak"}
        assert set(running.cloud.counts) == {"chat"}
        assert len(running.lines.with_text("is named there and used: leave it empty for")) == 2


async def test_what_an_edited_config_yaml_names_is_kept_whatever_it_answers(database_dsn: str, tmp_path: Path) -> None:
    files = edited_config(tmp_path, TTS="OpenAITTS")
    async with world("openai", STAND_INS["chat only"], database_dsn, tmp_path, files=files) as running:
        await running.lines.wait_for("OpenAITTS does not serve")
        assert running.in_use == {"ASR": "none", "LLM": "OpenAILLM", "TTS": "OpenAITTS"}
        (line,) = running.lines.with_text("TTS: OpenAITTS does not serve")
        assert "config.yaml: selected_module.TTS" in line and "it is named there" in line


async def test_a_refused_key_gives_way_and_is_never_shown(database_dsn: str, tmp_path: Path) -> None:
    wrong = "sk-wrong-0123456789"
    async with world("groq", STAND_INS["full"], database_dsn, tmp_path, key=wrong) as running:
        assert running.in_use == EMBEDDED
        assert len(running.lines.with_text("HTTP 401: the key (api_key) is not accepted")) == 3
        assert not running.lines.with_text(wrong)


async def test_a_service_that_nobody_answers_for_gives_way(
    database_dsn: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    environment = variables("ollama", f"http://127.0.0.1:{unused_tcp_port}/v1")
    with log_lines() as lines:
        async with running_server(database_dsn, tmp_path, preset="ollama", environment=environment) as server:
            chosen = server.application.providers.chosen
            assert {kind: chosen[kind].name for kind in KINDS} == EMBEDDED
        assert len(lines.with_text("ECONNREFUSED")) == 3
        assert lines.with_text("it is asked again and used once it answers")


async def test_a_late_answer_does_not_hold_up_the_start_and_still_counts(database_dsn: str, tmp_path: Path) -> None:
    late = Fault(status=404, delay_s=4.5)
    async with world("openai", STAND_INS["full"], database_dsn, tmp_path, speech=late) as running:
        assert running.in_use["TTS"] == "OpenAITTS"
        await running.lines.wait_for("OpenAITTS does not serve")
        assert running.in_use == {"ASR": "OpenAIASR", "LLM": "OpenAILLM", "TTS": "espeak"}
        asked = running.cloud.counts["speech"]
        async with SimulatedDevice(running.server.ota_url, habits=Habits(mic_speed=20)) as device:
            await device.boot()
            reply = await device.say_text("Hello")
        assert reply.finished and reply.frames > 0
        assert running.cloud.counts["speech"] == asked


async def test_a_server_that_still_asks_does_not_wait_for_the_answer_to_stop(database_dsn: str, tmp_path: Path) -> None:
    stall = Fault(mode="stall")
    async with asyncio.timeout(None) as limit:
        async with world("openai", STAND_INS["full"], database_dsn, tmp_path, speech=stall, chat=stall) as running:
            assert running.in_use == PRESETS["openai"][1]
            limit.reschedule(asyncio.get_running_loop().time() + 4)  # work in the background is given 5 s


@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in ("openai", "ollama")])
def test_a_missing_key_is_named_by_its_variable(preset: str, tmp_path: Path) -> None:
    prefix, entries = PRESETS[preset]
    settings = load_settings(Files(), preset=preset, overrides={"data_dir": ("test", str(tmp_path))})
    with pytest.raises(SettingsError) as caught:
        choose_providers(settings)
    assert len(caught.value.lines) == len(entries)
    assert all(f"needs the environment variable {prefix}_API_KEY" in line for line in caught.value.lines)


@pytest.mark.parametrize(("preset", "key", "marks"), [
    ("ollama", KEY, {"ASR": "absent", "LLM": "ok", "TTS": "absent"}),
    ("deepseek", "sk-wrong-0123456789", {"ASR": "ok", "LLM": "FAILED", "TTS": "ok"}),
])  # fmt: skip
async def test_check_tells_what_takes_the_place(
    preset: str, key: str, marks: dict[str, str], database_dsn: str, tmp_path: Path
) -> None:
    async with StandInCloud(services=["chat"], api_key=KEY) as cloud:
        overrides = {"data_dir": ("test", str(tmp_path)), "database.url": ("test", database_dsn)}
        settings = load_settings(
            Files(), preset=preset, environ=variables(preset, cloud.base_url, key), overrides=overrides
        )
        findings = await probe_all(settings, choose_providers(settings))
    lines = {finding.subject.split()[0]: str(finding) for finding in findings}
    assert {kind: lines[kind].split()[0] for kind in KINDS} == marks
    for kind, mark in marks.items():
        assert (f"the embedded {EMBEDDED[kind]} is used in its place" in lines[kind]) == (mark != "ok")
    assert all(finding.ok for finding in findings) == ("FAILED" not in marks.values())

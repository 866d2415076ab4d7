"""Who serves when a service comes and goes: the room alone, with a stand-in service over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from firmware_sim.cloud import Fault, StandInCloud
from tests.support.log_lines import LogLines, log_lines
from xiaozhi_server.provider_room import ProviderRoom
from xiaozhi_server.settings import Files, Settings, choose_providers, load_settings

NOW = (0.01,)


def settings_for(folder: Path, base_url: str, own: str = "") -> Settings:
    (folder / ".config.yaml").write_text(own, encoding="utf-8")
    environ = {"OPENAI_API_KEY": "sk-0123456789", "OPENAI_BASE_URL": base_url}
    return load_settings(Files(), preset="openai", environ=environ, overrides={"data_dir": ("test", str(folder))})


@asynccontextmanager
async def room_for(settings: Settings) -> AsyncIterator[tuple[ProviderRoom, LogLines, list[str]]]:
    room = ProviderRoom(settings, choose_providers(settings), pauses_s=NOW)
    changes: list[str] = []
    room.on_change = changes.append
    with log_lines() as lines:
        room.start()
        try:
            yield room, lines, changes
            await room.settle()  # an upload that is broken off leaves the stand-in an open file
        finally:
            await room.close()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_service_that_was_only_away_is_used_once_it_answers(tmp_path: Path, status: int) -> None:
    async with StandInCloud(phrases=[]) as cloud:
        cloud.faults.chat = Fault(status=status, times=3)
        async with room_for(settings_for(tmp_path, cloud.base_url)) as (room, lines, changes):
            await lines.wait_for("the embedded companion is used; it is asked again")
            await lines.wait_for("LLM OpenAILLM: answers now and is used")
            assert room.chosen["LLM"].name == "OpenAILLM"
            assert changes == ["LLM", "LLM"]
            assert cloud.counts["chat"] == 4


@pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=400), Fault(status=401), Fault(mode="empty")])
async def test_what_waiting_does_not_help_is_asked_once(tmp_path: Path, fault: Fault) -> None:
    async with StandInCloud(phrases=[]) as cloud:
        cloud.faults.speech = fault
        async with room_for(settings_for(tmp_path, cloud.base_url)) as (room, lines, changes):
            await room.settle()
            assert (room.chosen["TTS"].name, changes) == ("espeak", ["TTS"])
            assert lines.with_text("the embedded espeak is used; see `python -m xiaozhi_server check`")
            assert cloud.counts["speech"] == 1


async def test_what_a_person_named_is_asked_once_and_kept(tmp_path: Path) -> None:
    async with StandInCloud(phrases=[]) as cloud:
        cloud.faults.chat = Fault(status=503)
        own = "selected_module: {LLM: OpenAILLM, Memory: nomem}"
        async with room_for(settings_for(tmp_path, cloud.base_url, own)) as (room, lines, changes):
            await lines.wait_for("nothing takes its place")
            assert (room.chosen["LLM"].name, changes) == ("OpenAILLM", [])
            assert cloud.counts["chat"] == 1


async def test_the_embedded_ones_are_not_asked_and_call_nobody(tmp_path: Path) -> None:
    settings = load_settings(Files(), overrides={"data_dir": ("test", str(tmp_path))})
    async with room_for(settings) as (room, lines, changes):
        await room.settle()
        assert [room.chosen[kind].name for kind in ("ASR", "LLM", "TTS")] == ["none", "companion", "espeak"]
        assert (lines.all, changes) == ([], [])

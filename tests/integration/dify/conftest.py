"""A folder for files of ours, and the stand-in cloud in a thread of its own: it outlives the test that asks it."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim.cloud import StandInCloud
from mem0_tools.places import FOLDER_VARIABLE


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def cloud() -> Iterator[StandInCloud]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in-cloud")
    thread.start()
    cloud = StandInCloud(api_key="sk-secret-of-the-model")
    asyncio.run_coroutine_threadsafe(cloud.__aenter__(), loop).result(10.0)
    yield cloud
    asyncio.run_coroutine_threadsafe(cloud.__aexit__(None, None, None), loop).result(10.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

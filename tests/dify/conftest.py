"""One environment, one world and one plugin for all of these tests, which is looked at after each."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from dify_package.build import build
from dify_package.contents import collect
from dify_package.package import read_package
from tests.dify.daemon import PluginProcess
from tests.dify.environment import Environment, environment
from tests.dify.tools import Tools
from tests.dify.world import APP_KEY, MODEL_KEY, PASSWORD, World, world_on
from tests.support.plugin_package import unpack
from tests.support.postgres import PostgresServer

StartPlugin = Callable[..., PluginProcess]


@cache
def _made() -> Environment:
    return environment(collect()["requirements.txt"].decode())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """An installation takes longer than a test may, so it is done before the first one."""
    needed = any("plugin_environment" in getattr(item, "fixturenames", ()) for item in items)
    if needed and not config.option.collectonly:
        _made()


@pytest.fixture(scope="session")
def plugin_environment() -> Environment:
    made = _made()
    if not made.is_the_daemons:
        said = f"No Python 3.12 here: the plugin ran on {made.version} with SDK {made.sdk}, which no daemon does."
        sys.stderr.write(f"\n{said}\n")
    return made


@pytest.fixture(scope="session")
def unpacked(plugin_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is built, unpacked into an empty folder."""
    folder = tmp_path_factory.mktemp("plugin")
    package = build(tmp_path_factory.mktemp("dist"))
    unpack(read_package(package.read_bytes()).files, folder)
    # As the daemon does after it has installed a plugin.
    subprocess.run([plugin_environment.python, "-m", "compileall", "-q", "."], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def world(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    dsn = postgres_server.create_database()
    with world_on(dsn, tmp_path_factory.mktemp("world")) as made:
        yield made
    postgres_server.drop_database(dsn)


@pytest.fixture(scope="session")
def session_plugin(
    plugin_environment: Environment, unpacked: Path, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PluginProcess]:
    """Never killed between tests: what one of them breaks, the next one meets."""
    made = PluginProcess(plugin_environment.python, unpacked, tmp_path_factory.mktemp("data"))
    made.secrets |= {MODEL_KEY, APP_KEY, PASSWORD}
    with made.started():
        yield made


@pytest.fixture
def plugin(session_plugin: PluginProcess, world: World) -> Iterator[PluginProcess]:
    yield session_plugin
    world.mend()
    _look_at(session_plugin)


@pytest.fixture
def start_plugin(
    plugin_environment: Environment, unpacked: Path, world: World, tmp_path: Path
) -> Iterator[StartPlugin]:
    """Another one, for tests that kill it. The same `data` again is the same plugin started once more."""
    with ExitStack() as started:

        def start(data: Path | None = None, **around: str) -> PluginProcess:
            made = PluginProcess(plugin_environment.python, unpacked, data or tmp_path / "data", **around)
            made.secrets |= {MODEL_KEY, APP_KEY, PASSWORD}
            started.enter_context(made.started())
            started.callback(_look_at, made)
            return made

        yield start
    world.mend()


@pytest.fixture
def user() -> str:
    """Nobody else's: the tests share one memory."""
    return f"user-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("qdrant")


@pytest.fixture
def tools_on(plugin: PluginProcess, world: World, store_folder: Path) -> Callable[[str], Tools]:
    """The tools with credentials for "postgres", "qdrant" or "platform"; "... async" is the same in async mode."""

    def tools(home: str, **more: Any) -> Tools:
        kind, _, mode = home.partition(" ")
        asynchronous = mode == "async"
        match kind:
            case "postgres":
                credentials = world.on_postgres(asynchronous=asynchronous, **more)
            case "qdrant":
                credentials = world.on_qdrant(store_folder, asynchronous=asynchronous, **more)
            case _:
                credentials = world.on_platform(asynchronous=asynchronous, **more)
        return Tools(plugin, credentials)

    return tools


def _look_at(plugin: PluginProcess) -> None:
    assert plugin.faults() == []
    assert plugin.holds_secret() == []

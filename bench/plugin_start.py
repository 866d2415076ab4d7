"""How soon the built plugin is ready: from the start of its process, as the daemon does it, to its first heartbeat."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from dify_package.build import build
from dify_package.contents import collect
from dify_package.package import read_package
from tests.dify.daemon import PluginProcess
from tests.dify.environment import environment
from tests.support.plugin_package import unpack


@dataclass(frozen=True, slots=True)
class Starts:
    """`seconds` of each start, in their order. `installed_mb` is what the package's requirements take."""

    seconds: tuple[float, ...]
    installed_mb: float


def starts(folder: Path, count: int) -> Starts:
    """In the environment that the package's own requirements make, which is made once and kept beside the checkout."""
    made = environment(collect()["requirements.txt"].decode())
    plugin = folder / "unpacked"
    plugin.mkdir()
    unpack(read_package(build(folder).read_bytes()).files, plugin)
    # As the daemon does after it has installed a plugin.
    subprocess.run([made.python, "-m", "compileall", "-q", "."], cwd=plugin, check=True)
    seconds = []
    for number in range(count):
        with PluginProcess(made.python, plugin, folder / f"data {number}").started() as process:
            seconds.append(process.ready_s)
    return Starts(tuple(seconds), made.size() / 1e6)

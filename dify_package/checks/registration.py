"""Dify's SDK itself reads the package, in the environment in which the daemon would start it."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..package import Package
from .values import part

_TIMEOUT_S = 60
_REGISTER = """
import json, os
os.environ["MEM0_TELEMETRY"] = "False"
from dify_plugin import DifyPluginEnv
from dify_plugin.core.plugin_registration import PluginRegistration
found = PluginRegistration(DifyPluginEnv())
print(json.dumps({name: sorted(tools) for name, (_, _, tools) in found.tools_mapping.items()}))
"""


def sdk_registers_it(package: Package, python: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for path, content in package.files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        command = [str(python), "-c", _REGISTER]
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:
            yield f"the SDK did not answer: {type(error).__name__}"
            return
    yield from _read(package, run)


def _read(package: Package, run: subprocess.CompletedProcess[str]) -> Iterator[str]:
    lines = run.stdout.splitlines()
    if run.returncode or not lines:
        yield f"the SDK refused it: {(run.stderr.strip() or 'without a word').splitlines()[-1]}"
        return
    wanted = sorted(str(part(tool, "identity").get("name")) for tool in package.tools.values())
    found = json.loads(lines[-1])
    name = part(package.provider, "identity").get("name")
    if found != {name: wanted}:
        yield f"the SDK found {found}"

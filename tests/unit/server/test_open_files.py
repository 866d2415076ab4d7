"""The limit of open files is raised, as far as it may be. In a process of its own: it cannot be lowered again."""

import subprocess
import sys

import pytest

CODE = """
import resource
from xiaozhi_server.open_files import allow_many_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, {hard}))
print(allow_many_open_files(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize("hard", [100, 900])
def test_as_many_files_as_the_system_lets_us_have(hard: int) -> None:
    code = CODE.format(hard=hard)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert printed.stdout.strip() == f"{hard} ({hard}, {hard})"

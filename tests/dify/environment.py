"""The environment that the daemon would make for the plugin, from the package's own requirements. It is made once."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / ".venv-dify"
WANTED = (3, 12)
_INSTALL_LIMIT_S = 900
_READY = ".ready"
_SDK = "import importlib.metadata as m; print(m.version('dify-plugin'))"


@dataclass(frozen=True, slots=True)
class Environment:
    """`is_the_daemons`: the Python that the daemon takes, with exactly the packages that are pinned."""

    python: Path
    version: tuple[int, int]
    sdk: str

    @property
    def is_the_daemons(self) -> bool:
        return self.version == WANTED

    def size(self) -> int:
        """Bytes of what the requirements bring."""
        packages = next(self.python.parent.parent.glob("lib/python*/site-packages"))
        ours = ("pip", "pip-", "setuptools")  # what each environment brings itself
        return sum(
            path.lstat().st_size
            for top in packages.iterdir()
            if not top.name.startswith(ours)
            for path in ([top] if top.is_file() else top.rglob("*"))
            if path.is_file()
        )

    def packages(self) -> set[str]:
        folder = next(self.python.parent.parent.glob("lib/python*/site-packages"))
        return {one.name.split("-")[0].lower() for one in folder.glob("*.dist-info")}


class NoPythonError(Exception):
    """There is nothing on this machine that could run the plugin."""


def environment(requirements: str) -> Environment:
    """Made when it is missing or made from other requirements; kept beside the checkout."""
    version, base = _python()
    wanted = hashlib.sha256(f"{version}\n{requirements}".encode()).hexdigest()
    python = FOLDER / "bin" / "python"
    with _alone():
        ready = FOLDER / _READY
        if not ready.is_file() or ready.read_text() != wanted:
            shutil.rmtree(FOLDER, ignore_errors=True)
            _run(base, "-m", "venv", str(FOLDER))
            _install(python, requirements, exactly=version == WANTED)
            ready.write_text(wanted)
    sdk = subprocess.run([python, "-c", _SDK], capture_output=True, text=True, check=True).stdout.strip()
    return Environment(python, version, sdk)


def _python() -> tuple[tuple[int, int], str]:
    for version in (WANTED, (3, 11)):
        for candidate in _candidates(version):
            if _is(candidate, version):
                return version, candidate
    raise NoPythonError("neither Python 3.12 nor 3.11 is here (PYTHON312=... names one)")


def _candidates(version: tuple[int, int]) -> Iterator[str]:
    name = f"python{version[0]}.{version[1]}"
    if version == WANTED and (told := os.environ.get("PYTHON312")):
        yield told
    yield name
    yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version[0]}.{version[1]}*/bin/{name}")))
    if sys.version_info[:2] == version:
        yield sys.executable


def _is(candidate: str, version: tuple[int, int]) -> bool:
    ask = f"import sys; sys.exit(sys.version_info[:2] != {version})"
    try:
        return subprocess.run([candidate, "-c", ask], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _install(python: Path, requirements: str, *, exactly: bool) -> None:
    """On an older Python what is pinned for 3.12 may not be there: then the newest that fits, by name."""
    told = FOLDER / "requirements.txt"
    told.write_text(requirements if exactly else "\n".join(_loosened(requirements)))
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")
    _run(str(python), *pip, *(("--no-deps",) if exactly else ()), "-r", str(told))
    _run(str(python), "-m", "pip", "check")  # all that is needed is pinned, and fits


def _loosened(requirements: str) -> Iterator[str]:
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", requirements, re.MULTILINE):
        yield f"{name}=={version}" if name.lower() == "mem0ai" else name


def _run(*command: str) -> None:
    # Another interpreter's settings would lead it astray.
    around = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


@contextmanager
def _alone() -> Iterator[None]:
    """Two test runs do not make it at once."""
    name = f"{hashlib.sha256(str(FOLDER).encode()).hexdigest()[:16]}.lock"
    with Path(tempfile.gettempdir(), name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

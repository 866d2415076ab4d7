"""What the daemon installs for the plugin: pinned, from an index, and nothing heavy."""

import re
import tomllib
from collections.abc import Iterator

from ..package import Package, UnreadableError
from .values import part

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(?P<version>[A-Za-z0-9.!+_-]+)(?P<marker> ; .+)?")
_HEAVY = {"torch", "transformers", "sentence-transformers", "spacy", "onnxruntime", "tensorflow", "scipy"}
_SDK, _OLDEST_SDK = "dify-plugin", (0, 9, 0)
_MEM0, _MEM0_MAJOR = "mem0ai", "2"


def pins(requirements: str) -> dict[str, str]:
    """The version of each distribution, by its name as it stands there."""
    lines = [line.strip() for line in requirements.splitlines()]
    found = [_PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    return {pin["name"]: pin["version"] for pin in found if pin}


def requirements_are_pinned(package: Package) -> Iterator[str]:
    for line in map(str.strip, package.text("requirements.txt").splitlines()):
        if line and not line.startswith("#") and not _PIN.fullmatch(line):
            yield f"requirements.txt: {line!r} is no exact version from an index"


def both_lists_are_equal(package: Package) -> Iterator[str]:
    """The daemon takes pyproject.toml, or requirements.txt where a mirror is set."""
    try:
        project = part(tomllib.loads(package.text("pyproject.toml")), "project")
    except tomllib.TOMLDecodeError as error:
        raise UnreadableError(f"pyproject.toml: {error}") from None
    requirements = [line.strip() for line in package.text("requirements.txt").splitlines()]
    wanted = {line for line in requirements if line and not line.startswith("#")}
    listed = set(project.get("dependencies", []))
    yield from (f"pyproject.toml lacks {line}" for line in sorted(wanted - listed))
    yield from (f"requirements.txt lacks {line}" for line in sorted(listed - wanted))
    if project.get("requires-python") != ">=3.12":
        yield "pyproject.toml: requires-python is not >=3.12"
    if project.get("version") != package.manifest.get("version"):
        yield "pyproject.toml: version is not the manifest's"


def nothing_heavy(package: Package) -> Iterator[str]:
    names = {name.lower() for name in pins(package.text("requirements.txt"))}
    yield from (f"{name} is too large for a plugin" for name in sorted(names & _HEAVY))


def versions_fit(package: Package) -> Iterator[str]:
    found = {
        name.lower().replace("_", "-"): version for name, version in pins(package.text("requirements.txt")).items()
    }
    sdk = tuple(int(number) for number in re.findall(r"\d+", found.get(_SDK, "0"))[:3])
    if sdk < _OLDEST_SDK:
        yield f"dify_plugin {found.get(_SDK)}: at least {'.'.join(map(str, _OLDEST_SDK))}"
    if found.get(_MEM0, "").split(".")[0] != _MEM0_MAJOR:
        yield f"mem0ai {found.get(_MEM0)}: {_MEM0_MAJOR}.x is what the code is written for"

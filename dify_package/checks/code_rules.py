"""The Python in the package, read and never run."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from ..package import Package, UnreadableError
from .requirement_rules import pins
from .values import part

_PYTHON = (3, 12)
_DISTRIBUTIONS = {"mem0": "mem0ai", "yaml": "pyyaml", "dateutil": "python-dateutil"}  # where the names differ
_SECRETS = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    rb"|\bm0-[A-Za-z0-9]{32,}|\bapp-[A-Za-z0-9]{24,}"
)
_SDK = "dify_plugin"


def code_is_python(package: Package) -> Iterator[str]:
    for path in _modules(package):
        try:
            _tree(package.text(path))
        except (SyntaxError, UnreadableError) as error:
            yield f"{path} is no Python {_PYTHON[0]}.{_PYTHON[1]}: {error}"


def one_tool_in_each_module(package: Package) -> Iterator[str]:
    """The SDK finds a tool by looking for subclasses among a module's names, imported ones too, and wants one."""
    for path, tool in package.tools.items():
        source = str(part(part(tool, "extra"), "python").get("source"))
        yield from _one_subclass(package, source, "Tool", path)
    source = str(part(part(package.provider, "extra"), "python").get("source"))
    yield from _one_subclass(package, source, "ToolProvider", package.provider_path)


def _one_subclass(package: Package, source: str, base: str, described_in: str) -> Iterator[str]:
    if source not in package.files:
        yield f"{described_in}: there is no {source}"
        return
    found = _subclasses(package, source, base, frozenset())
    if len(found) != 1:
        yield f"{source}: exactly one subclass of {base} is needed, not {sorted(found) or 'none'}"


def _subclasses(package: Package, path: str, base: str, seen: frozenset[str]) -> frozenset[str]:
    """The names in a module that are subclasses of the SDK's class, defined there or imported."""
    bases, found = {base}, set()
    for node in _tree(package.text(path)).body:
        if isinstance(node, ast.ImportFrom):
            names = _imported(package, node, base, seen | {path})
            bases |= names
            found |= names
        elif isinstance(node, ast.ClassDef) and any(_last_name(parent) in bases for parent in node.bases):
            bases.add(node.name)
            found.add(node.name)
    return frozenset(found)


def _imported(package: Package, node: ast.ImportFrom, base: str, seen: frozenset[str]) -> set[str]:
    path = f"{(node.module or '').replace('.', '/')}.py"
    if node.level or path not in package.files or path in seen:
        return set()
    there = _subclasses(package, path, base, seen)
    if any(alias.name == "*" for alias in node.names):
        return set(there)
    return {alias.asname or alias.name for alias in node.names if alias.name in there}


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def nothing_is_printed(package: Package) -> Iterator[str]:
    """The daemon reads stdout; a line that is not the SDK's is an error there."""
    for path in _modules(package):
        for node in ast.walk(_tree(package.text(path))):
            if isinstance(node, ast.Call) and _last_name(node.func) == "print" and not _prints_elsewhere(node):
                yield f"{path}:{node.lineno}: print"


def _prints_elsewhere(call: ast.Call) -> bool:
    return any(keyword.arg == "file" for keyword in call.keywords)


def imports_are_installed(package: Package) -> Iterator[str]:
    """What a module imports as it is loaded is in the package, in Python, or among the requirements."""
    installed = {_normal(name) for name in pins(package.text("requirements.txt"))}
    own = {PurePosixPath(path).parts[0].removesuffix(".py") for path in _modules(package)}
    for path in _modules(package):
        for name in sorted(_imports(_tree(package.text(path)))):
            distribution = _normal(_DISTRIBUTIONS.get(name, name))
            if name not in sys.stdlib_module_names and name not in own and distribution not in installed:
                yield f"{path}: {name} is not among the requirements"


def _imports(tree: ast.Module) -> set[str]:
    """The first parts of the names that are imported on loading: in no function, and not for types alone."""
    names: set[str] = set()
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names


def no_secrets(package: Package) -> Iterator[str]:
    yield from (f"{path}: this looks like a key" for path, content in package.files.items() if _SECRETS.search(content))


def sdk_is_apart(package: Package) -> Iterator[str]:
    """Dify's SDK replaces sockets and threads as it is imported, so only what the daemon starts imports it."""
    for path in _modules(package):
        known = path == "main.py" or path.startswith(("tools/", "provider/"))
        if not known and _SDK in _imports(_tree(package.text(path))):
            yield f"{path} imports Dify's SDK"


def _modules(package: Package) -> list[str]:
    return [path for path in package.files if path.endswith(".py")]


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


@lru_cache(maxsize=2048)
def _tree(source: str) -> ast.Module:
    return ast.parse(source, feature_version=_PYTHON)

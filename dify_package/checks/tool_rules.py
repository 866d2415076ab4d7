"""The tools' YAMLs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ..package import Package
from .values import IDENTITY, fits, flag, one_of, part, parts, said

NAMES = {
    "add_memory",
    "search_memory",
    "get_all_memories",
    "get_memory",
    "update_memory",
    "delete_memory",
    "delete_all_memories",
    "get_memory_history",
    "extract_long_term_memory",
    "check_extraction_status",
    "get_user_checkpoint",
    "forget_memories",
    "retrieve_memory",
}
_TYPES = (
    "string",
    "number",
    "boolean",
    "select",
    "secret-input",
    "file",
    "files",
    "app-selector",
    "model-selector",
    "any",
    "dynamic-select",
    "array",
    "object",
    "checkbox",
)  # the daemon's and the SDK's; the SDK does not know date and date-range
_DEFAULTS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "secret-input": (str,),
    "number": (int, float),
    "boolean": (bool,),
}
_SHOWN_BY_DIFY = ("text", "json", "files")  # a variable must not have these names


def tools_are_complete(package: Package) -> Iterator[str]:
    names = Counter(part(tool, "identity").get("name") for tool in package.tools.values())
    yield from (f"{name} is missing" for name in sorted(NAMES - names.keys()))
    yield from (f"{name} is there {count} times" for name, count in names.items() if count > 1)


def tools_are_valid(package: Package) -> Iterator[str]:
    for path, tool in package.tools.items():
        yield from (f"{path}: {problem}" for problem in _tool(package, path, tool))


def _tool(package: Package, path: str, tool: Mapping[str, Any]) -> Iterator[str]:
    identity, description = part(tool, "identity"), part(tool, "description")
    yield from fits(name := identity.get("name"), IDENTITY, "identity.name")
    if name != PurePosixPath(path).stem:
        yield f"identity.name: {name!r} is not what the file is called"
    if identity.get("author") != package.manifest.get("author"):
        yield "identity.author: not the manifest's"
    yield from said(identity.get("label"), "identity.label")
    yield from said(description.get("human"), "description.human")
    if not _is_said(description.get("llm")):
        yield "description.llm: nothing"
    source = part(part(tool, "extra"), "python").get("source")
    if source not in package.files:
        yield f"extra.python.source: there is no {source}"
    yield from _parameters(tool)


def _parameters(tool: Mapping[str, Any]) -> Iterator[str]:
    parameters = parts(tool, "parameters")
    for name, count in Counter(parameter.get("name") for parameter in parameters).items():
        if count > 1:
            yield f"parameter {name!r} is there {count} times"
    for parameter in parameters:
        yield from (f"{parameter.get('name')}: {problem}" for problem in _parameter(parameter))


def _parameter(parameter: Mapping[str, Any]) -> Iterator[str]:
    kind = parameter.get("type")
    yield from fits(parameter.get("name"), IDENTITY, "name")
    yield from one_of(kind, _TYPES, "type")
    yield from one_of(form := parameter.get("form"), ["schema", "form", "llm"], "form")
    yield from flag(parameter.get("required"), "required")
    yield from said(parameter.get("label"), "label")
    yield from said(parameter.get("human_description"), "human_description")
    if form == "llm" and not _is_said(parameter.get("llm_description")):
        yield "llm_description: nothing, though a model fills it in"
    yield from _default(kind, parameter)


def _default(kind: Any, parameter: Mapping[str, Any]) -> Iterator[str]:
    default = parameter.get("default")
    if default is None:
        return
    wanted = _DEFAULTS.get(str(kind), (object,))
    if not isinstance(default, wanted) or (kind == "number" and isinstance(default, bool)):
        yield f"default: {default!r} is no {kind}"
        return
    if kind == "number":
        low, high = parameter.get("min", default), parameter.get("max", default)
        if not low <= default <= high:
            yield f"default: {default} is not between {low} and {high}"


def outputs_are_described(package: Package) -> Iterator[str]:
    for path, tool in package.tools.items():
        properties = part(part(tool, "output_schema"), "properties")
        if "status" not in properties:
            yield f"{path}: output_schema: it has no status"
        yield from (f"{path}: output_schema: {name} is Dify's own" for name in properties if name in _SHOWN_BY_DIFY)
        for name, schema in properties.items():
            known = ["string", "number", "boolean", "object", "array"]
            yield from one_of(part(properties, name).get("type"), known, f"{path}: output_schema: {name}")
            if isinstance(schema, Mapping) and schema.get("type") == "array" and "items" not in schema:
                yield f"{path}: output_schema: {name}: an array of what?"


def _is_said(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())

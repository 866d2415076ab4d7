"""manifest.yaml, and the icons it names."""

import re
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from ..package import Package
from .values import fits, one_of, part, said, tags

_VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){2}(-\w{1,16})?")
_AUTHOR = re.compile(r"[a-z0-9_-]{1,64}")
_NAME = re.compile(r"[a-z0-9_-]{1,128}")
_RESERVED = ("langgenius", "dify")
_STORAGE = range(1024, 1_073_741_824 + 1)
_MAX_ICON_NAME = 128
_MAX_ICON_BYTES = 100_000


def identity_is_valid(package: Package) -> Iterator[str]:
    manifest = package.manifest
    yield from fits(manifest.get("version"), _VERSION, "version")
    yield from one_of(manifest.get("type"), ["plugin"], "type")
    yield from fits(manifest.get("name"), _NAME, "name")
    yield from fits(author := manifest.get("author"), _AUTHOR, "author")
    if any(word in str(author) for word in _RESERVED):
        yield f"author: {author} is a name that only Dify's makers use"
    if _is_uuid(str(author)):
        yield "author: a UUID is taken for a local user"


def texts_are_there(package: Package) -> Iterator[str]:
    yield from said(package.manifest.get("label"), "label")
    yield from said(package.manifest.get("description"), "description")
    yield from tags(package.manifest.get("tags", []), "tags")


def runner_is_valid(package: Package) -> Iterator[str]:
    meta = part(package.manifest, "meta")
    yield from fits(meta.get("version"), _VERSION, "meta.version")
    arch = meta.get("arch")
    if not isinstance(arch, list) or not arch:
        yield "meta.arch: no machine is named"
    else:
        for machine in arch:
            yield from one_of(machine, ["amd64", "arm64"], "meta.arch")
    runner = part(meta, "runner")
    yield from one_of(runner.get("language"), ["python"], "meta.runner.language")
    yield from one_of(runner.get("version"), ["3.12"], "meta.runner.version")
    entrypoint = runner.get("entrypoint")
    if f"{entrypoint}.py" not in package.files:
        yield f"meta.runner.entrypoint: there is no module {entrypoint!r}"


def resources_are_valid(package: Package) -> Iterator[str]:
    resource = part(package.manifest, "resource")
    memory = resource.get("memory")
    if not isinstance(memory, int) or isinstance(memory, bool) or memory <= 0:
        yield f"resource.memory: {memory!r} is no number of bytes"
    storage = part(part(resource, "permission"), "storage")
    if storage.get("enabled") and storage.get("size") not in _STORAGE:
        yield "resource.permission.storage.size: between 1 KiB and 1 GiB"


def plugins_are_tools(package: Package) -> Iterator[str]:
    plugins = part(package.manifest, "plugins")
    providers = plugins.get("tools")
    if not isinstance(providers, list) or len(providers) != 1:
        yield "plugins.tools: exactly one provider (of several only the last would live)"
    yield from (f"plugins.{kind}: a tool plugin has none" for kind in plugins if kind != "tools")


def origin_is_valid(package: Package) -> Iterator[str]:
    manifest = package.manifest
    if not isinstance(manifest.get("created_at"), datetime):
        yield "created_at: no time (as 2026-11-28T00:00:00Z)"
    privacy = manifest.get("privacy")
    if privacy not in package.files:
        yield f"privacy: there is no file {privacy!r}"
    repo = manifest.get("repo")
    if repo is not None and not all(urlsplit(str(repo))[:2]):
        yield "repo: no address"


def icons_are_there(package: Package) -> Iterator[str]:
    for where, owner in (("manifest.yaml", package.manifest), (package.provider_path, package.provider)):
        source = owner if where == "manifest.yaml" else part(owner, "identity")
        yield from _icon(package, source, "icon", where)
        yield from _icon(package, source, "icon_dark", where)


def _icon(package: Package, source: Mapping[str, Any], field: str, where: str) -> Iterator[str]:
    name = source.get(field)
    content = package.files.get(f"_assets/{name}")
    if not isinstance(name, str) or len(name) > _MAX_ICON_NAME or content is None:
        yield f"{where}: {field}: there is no _assets/{name}"
    elif len(content) > _MAX_ICON_BYTES:
        yield f"_assets/{name}: {len(content):,} bytes are too many for an icon"
    elif name.endswith(".svg") and not _is_harmless_svg(content):
        yield f"_assets/{name}: no SVG, or one that runs or loads something"


def _is_harmless_svg(content: bytes) -> bool:
    if b"<!" in content.replace(b"<!--", b""):  # no entities to unfold
        return False
    try:
        root = ElementTree.fromstring(content)  # noqa: S314
    except ElementTree.ParseError:
        return False
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    attributes = [key.rpartition("}")[2] for element in root.iter() for key in element.attrib]
    runs = "script" in names or any(key.startswith("on") or key == "href" for key in attributes)
    return names[0] == "svg" and not runs


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True

"""A package as it was given to us, which may be anything: nothing of it is believed before it was looked at."""

import io
import zipfile
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import yaml

MAX_UNPACKED_BYTES = 52_428_800  # the daemon's limit
_UNREADABLE = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError)


class UnreadableError(Exception):
    """Something that everything else stands on cannot be read; the message says what."""


@dataclass(frozen=True)
class Package:
    data: bytes
    names: tuple[str, ...]  # as they stand in the zip, folders and doublets too
    files: Mapping[str, bytes]

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        return self.mapping("manifest.yaml")

    @cached_property
    def provider_path(self) -> str:
        """Of several the daemon keeps the last."""
        plugins = self.manifest.get("plugins")
        tools = plugins.get("tools") if isinstance(plugins, Mapping) else None
        if not isinstance(tools, list) or not tools or not isinstance(tools[-1], str):
            raise UnreadableError("manifest.yaml: plugins.tools names no provider")
        return tools[-1]

    @cached_property
    def provider(self) -> Mapping[str, Any]:
        return self.mapping(self.provider_path)

    @cached_property
    def tools(self) -> Mapping[str, Mapping[str, Any]]:
        """Each tool's description by its path."""
        paths = self.provider.get("tools")
        if not isinstance(paths, list) or not paths:
            raise UnreadableError(f"{self.provider_path}: it has no tools")
        return {str(path): self.mapping(str(path)) for path in paths}

    def mapping(self, path: str) -> Mapping[str, Any]:
        try:
            value = _parsed(self.text(path))
        except yaml.YAMLError as error:
            raise UnreadableError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
        except (ValueError, RecursionError) as error:  # a date that no calendar has; brackets without end
            raise UnreadableError(f"{path} cannot be read: {error}") from None
        if not isinstance(value, Mapping):
            raise UnreadableError(f"{path} is no mapping")
        return value

    def text(self, path: str) -> str:
        try:
            return self.files[path].decode("utf-8")
        except KeyError:
            raise UnreadableError(f"{path} is missing") from None
        except UnicodeDecodeError:
            raise UnreadableError(f"{path} is no UTF-8") from None


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a safe loader)


def read_package(data: bytes) -> Package:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            declared = sum(entry.file_size for entry in entries)
            if declared > MAX_UNPACKED_BYTES:
                raise UnreadableError(f"{declared:,} bytes unpacked, the daemon takes {MAX_UNPACKED_BYTES:,}")
            files = {entry.filename: archive.read(entry) for entry in entries if not entry.is_dir()}
    except _UNREADABLE as error:
        raise UnreadableError(f"this is no zip that can be read: {error}") from None
    return Package(data, tuple(entry.filename for entry in entries), files)


class _StrictLoader(yaml.SafeLoader):
    """The daemon refuses a key that stands there twice; PyYAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        doubled = {key for key in keys if isinstance(key, str) and keys.count(key) > 1}
        if doubled:
            raise yaml.constructor.ConstructorError(None, None, f"{sorted(doubled)} twice", node.start_mark)
        return super().construct_mapping(node, deep)

"""The provider's YAML: who it is, and which credentials it asks for."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..package import Package
from .values import IDENTITY, fits, flag, one_of, part, parts, said, tags

_TYPES = ("secret-input", "text-input", "select", "boolean", "app-selector", "model-selector", "array[tools]")
_SECRET = ("secret", "api_key", "password", "token")


def provider_is_valid(package: Package) -> Iterator[str]:
    provider = package.provider
    identity = part(provider, "identity")
    yield from fits(identity.get("name"), IDENTITY, "identity.name")
    if identity.get("author") != package.manifest.get("author"):
        yield "identity.author: not the manifest's"
    yield from said(identity.get("label"), "identity.label")
    yield from said(identity.get("description"), "identity.description")
    yield from tags(identity.get("tags", []), "identity.tags")
    source = part(part(provider, "extra"), "python").get("source")
    if source not in package.files:
        yield f"extra.python.source: there is no {source}"


def credentials_are_valid(package: Package) -> Iterator[str]:
    credentials = package.provider.get("credentials_for_provider")
    if not isinstance(credentials, Mapping):
        yield "credentials_for_provider: the SDK takes a mapping only"
        return
    for name, credential in credentials.items():
        yield from _credential(str(name), credential if isinstance(credential, Mapping) else {})


def _credential(name: str, credential: Mapping[str, Any]) -> Iterator[str]:
    kind = credential.get("type")
    yield from fits(name, IDENTITY, "a credential's name")
    yield from one_of(kind, _TYPES, f"{name}: type")  # there is no number
    yield from flag(credential.get("required"), f"{name}: required")
    yield from said(credential.get("label"), f"{name}: label")
    for field in ("help", "placeholder"):
        if field in credential:
            yield from said(credential[field], f"{name}: {field}")
    if any(word in name for word in _SECRET) and kind != "secret-input":
        yield f"{name}: a secret that would be shown"
    yield from _default(name, credential)


def _default(name: str, credential: Mapping[str, Any]) -> Iterator[str]:
    kind, default = credential.get("type"), credential.get("default")
    if kind == "secret-input" and default is not None:
        yield f"{name}: a secret has no default"
    if kind == "text-input" and default is not None and not isinstance(default, str):
        yield f"{name}: the default of a text is a text, also where it is a number"
    if kind == "boolean" and default is not None:
        yield from flag(default, f"{name}: default")
    if kind == "select":
        yield from _options(name, credential)


def _options(name: str, credential: Mapping[str, Any]) -> Iterator[str]:
    options = parts(credential, "options")
    for option in options:
        yield from said(option.get("label"), f"{name}: options: label")
    yield from one_of(credential.get("default"), [option.get("value") for option in options], f"{name}: default")

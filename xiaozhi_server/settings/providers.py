"""Which provider was chosen for each kind, and its checked configuration. It imports only the chosen ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from xiaozhi_server.core.providers import registry

from .errors import Fault, SettingsError
from .faults import did_you_mean, environment_name, faults_of
from .layers import Path, Tree, dotted, origin_of
from .masking import is_secret_name
from .memory_entries import ENTRIES
from .reference_providers import (
    EMBEDDED_ENTRIES,
    INSTEAD,
    REFERENCE_ENTRIES,
    REFERENCE_TYPES,
    UNUSED_KEYS,
    complete,
    stand_in,
)
from .sources import PRESET_LABEL, variable_not_set
from .tree import PROVIDER_KINDS, Settings

# Kinds whose providers are not made by the registry, with the types that there are.
_OTHER_TYPES = {"Memory": ["mem0ai", "mem_local_short", "nomem"], "Intent": ["nointent"]}
_PLACEHOLDERS = ("你的", "your-", "your_", "<", "xxx")


@dataclass(frozen=True, slots=True)
class ChosenProvider:
    """`provider_class` takes `config`. Kinds that are not made by the registry have none, and a config at most."""

    kind: str
    name: str
    type_name: str
    values: Mapping[str, Any]
    provider_class: type[Any] | None = None
    config: BaseModel | None = None


@dataclass(frozen=True, slots=True)
class ChosenProviders:
    by_kind: Mapping[str, ChosenProvider]
    notices: tuple[str, ...] = field(default=())

    def __getitem__(self, kind: str) -> ChosenProvider:
        return self.by_kind[kind]


def choose_providers(settings: Settings) -> ChosenProviders:
    """Check every kind; everything that is wrong is said at once."""
    chosen, faults = survey_providers(settings)
    if faults:
        raise SettingsError(faults)
    return chosen


def survey_providers(settings: Settings) -> tuple[ChosenProviders, list[Fault]]:
    """The kinds that can be used, and what is wrong with the others."""
    chosen: dict[str, ChosenProvider] = {}
    notices: list[str] = []
    faults: list[Fault] = []
    for kind in PROVIDER_KINDS:
        try:
            chosen[kind] = _Choice(settings, kind, notices).make()
        except SettingsError as problem:
            faults.extend(problem.faults)
    return ChosenProviders(chosen, tuple(notices)), faults


def embedded_provider(settings: Settings, kind: str) -> ChosenProvider:
    """The provider of this kind that needs nobody else, with what the settings say about it."""
    return _Choice(settings, kind, [], EMBEDDED_ENTRIES[kind]).make()


def named_provider(settings: Settings, kind: str, name: str) -> ChosenProvider:
    """The provider of this entry, whether or not it is the one that serves. SettingsError: there is none."""
    return _Choice(settings, kind, [], name).make()


def chosen_by(settings: Settings, kind: str) -> str:
    """Which file, preset, variable or option chose the provider of this kind."""
    return settings.origins.get(f"selected_module.{kind}", "default")


def is_chosen_by_preset(settings: Settings, kind: str) -> bool:
    return chosen_by(settings, kind).startswith(PRESET_LABEL)


def types_of(kind: str) -> list[str]:
    return _OTHER_TYPES.get(kind) or registry.types_of(kind)


class _Choice:
    """One kind's way from its name in `selected_module` to a checked configuration."""

    def __init__(self, settings: Settings, kind: str, notices: list[str], wanted: str | None = None) -> None:
        self._kind = kind
        self._entries: dict[str, Tree] = getattr(settings, kind)
        self._origins = {tuple(key.split(".")): label for key, label in settings.origins.items()}
        self._wanted: str = wanted or getattr(settings.selected_module, kind)
        self._notices = notices

    def make(self) -> ChosenProvider:
        name, entry = self._find()
        type_name = str(entry.get("type", ""))
        if type_name not in types_of(self._kind):
            name, entry = self._embedded(name, type_name)
            type_name = str(entry["type"])
        values = {key: value for key, value in entry.items() if key != "type"}
        if (self._kind, type_name) in ENTRIES:
            return self._with_entry(name, type_name, values)
        if self._kind in _OTHER_TYPES:
            return ChosenProvider(self._kind, name, type_name, self._without_config(values, name, type_name))
        return self._checked(name, type_name, values)

    def _find(self) -> tuple[str, Tree]:
        names = [*self._entries, *(name for kind, name in REFERENCE_ENTRIES if kind == self._kind)]
        name = next((name for name in names if name == self._wanted), None)
        name = name or next((name for name in names if name.lower() == self._wanted.lower()), None)
        if name is not None:
            return name, complete(self._kind, name, self._written(name))
        if self._wanted in types_of(self._kind):  # a type that needs no settings needs no entry either
            return self._wanted, {"type": self._wanted}
        remedy = did_you_mean(self._wanted, names) or f"add it below {self._kind} or choose {_listed(self._entries)}"
        what = f"there is no {self._kind} entry named {self._wanted}"
        raise SettingsError([self._fault(("selected_module", self._kind), what, remedy)])

    def _written(self, name: str) -> Tree:
        """The entry as it was written; one without a type is named after it."""
        entry = self._entries.get(name, {})
        return {"type": name, **entry} if name in types_of(self._kind) else entry

    def _embedded(self, name: str, type_name: str) -> tuple[str, Tree]:
        """A type of the reference server that is not here gives way to the embedded one, with a line."""
        if (self._kind, type_name) not in REFERENCE_TYPES:
            known = types_of(self._kind)
            remedy = did_you_mean(type_name, known) or f"choose {_listed(known)}"
            what = f"there is no {self._kind} of type {type_name!r}" if type_name else "is missing"
            raise SettingsError([self._fault((self._kind, name, "type"), what, remedy)])
        embedded = stand_in(self._kind, type_name)
        self._give_way(name, embedded, f"type {type_name} is not supported", INSTEAD[self._kind])
        return embedded, self._entry_of(embedded)

    def _entry_of(self, embedded: str) -> Tree:
        found: Tree = self._entries.get(embedded) or getattr(Settings(), self._kind)[embedded]
        return found

    def _give_way(self, name: str, embedded: str, why: str, instead: str) -> None:
        source = origin_of(self._origins, ("selected_module", self._kind)) or "settings"
        self._notices.append(f"{source}: selected_module.{self._kind}: {name}: {why}: {embedded} is used; {instead}")

    def _checked(self, name: str, type_name: str, values: Tree) -> ChosenProvider:
        try:
            provider_class = registry.load(self._kind, type_name)
        except ImportError as problem:
            return self._without_package(name, type_name, problem)
        config_class: type[BaseModel] = provider_class.Config
        kept = self._keep(values, _accepted(config_class), name, type_name)
        self._refuse_placeholders(name, kept)
        config = self._validate(config_class, name, kept)
        return ChosenProvider(self._kind, name, type_name, kept, provider_class, config)

    def _with_entry(self, name: str, type_name: str, values: Tree) -> ChosenProvider:
        """A key that nobody has put in yet counts as none: what it is for is not the only way."""
        entry_class = ENTRIES[self._kind, type_name]
        kept = self._keep(values, _accepted(entry_class), name, type_name)
        for key in tuple(kept):
            if fault := self._placeholder((self._kind, name, key), kept[key]):
                del kept[key]
                self._notices.append(f"{fault.source}: {fault.key}: {fault.what} and counts as missing: {fault.remedy}")
        return ChosenProvider(self._kind, name, type_name, kept, None, self._validate(entry_class, name, kept))

    def _without_config(self, values: Tree, name: str, type_name: str) -> Tree:
        kept = self._keep(values, set(), name, type_name)
        if kept:
            paths = [(self._kind, name, key) for key in kept]
            raise SettingsError(
                [self._fault(path, "unknown key", "remove it: this type knows no keys") for path in paths]
            )
        return kept

    def _without_package(self, name: str, type_name: str, problem: ImportError) -> ChosenProvider:
        """An optional package that is not installed gives way to the embedded provider too, if that one is there."""
        embedded = stand_in(self._kind, type_name)
        entry = self._entry_of(embedded)
        if name == embedded or entry["type"] == type_name:
            what = f"{self._kind} type {type_name} cannot be loaded"
            raise SettingsError([self._fault((self._kind, name, "type"), what, str(problem))])
        self._give_way(name, embedded, f"type {type_name} cannot be loaded", str(problem))
        return self._checked(embedded, str(entry["type"]), {key: entry[key] for key in entry if key != "type"})

    def _keep(self, values: Tree, accepted: set[str], name: str, type_name: str) -> Tree:
        """Leave out what only the reference's provider knows; anything else unknown is for the provider to refuse."""
        unused = UNUSED_KEYS.get((self._kind, type_name), {})
        kept: Tree = {}
        for key, value in values.items():
            if key in accepted or key not in unused:
                kept[key] = value
            elif not unused[key].quiet:
                path = (self._kind, name, key)
                source = origin_of(self._origins, path) or "settings"
                self._notices.append(f"{source}: {dotted(path)}: no use here: {unused[key].advice}")
        return kept

    def _refuse_placeholders(self, name: str, values: Tree) -> None:
        paths = [((self._kind, name, key), value) for key, value in values.items()]
        faults = [fault for path, value in paths if (fault := self._placeholder(path, value))]
        if faults:
            raise SettingsError(faults)

    def _placeholder(self, path: Path, value: Any) -> Fault | None:
        if variable := variable_not_set(value):
            return self._fault(path, f"needs the environment variable {variable}", f"export {variable}=… and try again")
        if is_secret_name(path[-1]) and isinstance(value, str) and value.lower().startswith(_PLACEHOLDERS):
            remedy = f"put your own there or export {environment_name(path)}=…"
            return self._fault(path, "still holds the example text", remedy)
        return None

    def _validate(self, config_class: type[BaseModel], name: str, values: Tree) -> BaseModel:
        prefix = (self._kind, name)
        try:
            return config_class.model_validate(_texts_for_texts(config_class, values))
        except ValidationError as problem:
            faults = faults_of(problem, self._origins, prefix)
        known = _accepted(config_class)
        raise SettingsError([self._with_remedy(fault, known) for fault in faults])

    def _with_remedy(self, fault: Fault, known: set[str]) -> Fault:
        if fault.what != "unknown key":
            return fault
        key = fault.key.rpartition(".")[2]
        remedy = did_you_mean(key, known) or f"remove it; this provider knows {_listed(sorted(known)) or 'no keys'}"
        return Fault(fault.source, fault.key, fault.what, remedy)

    def _fault(self, path: Path, what: str, remedy: str) -> Fault:
        source = origin_of(self._origins, path) or origin_of(self._origins, ("selected_module", self._kind))
        return Fault(source or "settings", dotted(path), what, remedy)


def _listed(names: Any) -> str:
    return ", ".join(names)


def _accepted(config_class: type[BaseModel]) -> set[str]:
    """Every spelling of a key that a provider's configuration takes."""
    accepted: set[str] = set()
    for name, info in config_class.model_fields.items():
        accepted.add(name)
        aliases = getattr(info.validation_alias, "choices", [info.validation_alias])
        accepted.update(alias for alias in aliases if isinstance(alias, str))
    return accepted


def _texts_for_texts(config_class: type[BaseModel], values: Tree) -> Tree:
    """A key or a voice that is all digits reads as a number in YAML; where a text is expected it is one again."""
    return {key: str(value) if _wants_text(config_class, key, value) else value for key, value in values.items()}


def _wants_text(config_class: type[BaseModel], key: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    info = config_class.model_fields.get(key)
    expected = str(info.annotation) if info else ""
    return ("str" in expected.lower()) and "int" not in expected and "float" not in expected

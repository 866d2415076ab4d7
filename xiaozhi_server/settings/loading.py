"""Joins the layers into one tree: config.yaml < preset < data/.config.yaml < environment < command line.

The providers that config.yaml names lie over the preset: as it is shipped it names none of those that presets bring.
`--config FILE` belongs to the command line: it overrides the environment, and a flag overrides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import Fault, SettingsError
from .faults import did_you_mean, faults_of
from .layers import Layer, Path, Tree, dotted, get, leaves, merge, put
from .reference import translate
from .reference_providers import REFERENCE_ENTRIES
from .sources import PRESET_LABEL, read_environment, read_file, variable_not_set
from .tree import PROVIDER_KINDS, SelectedModule, Settings

PROJECT = FilePath(__file__).resolve().parents[2]
PRESET_VARIABLE = "XIAOZHI_PRESET"
KEY_VARIABLE = "OPENAI_API_KEY"
SELECTION: Path = ("selected_module",)
MEMORY: Path = ("selected_module", "Memory")
# What config.yaml says here about providers was put there by a person, or no preset speaks of it.
NAMES = (*SELECTION, *PROVIDER_KINDS)
# The kinds that people expect of a preset, in words.
SPOKEN_KINDS = {"ASR": "recogniser", "LLM": "model", "TTS": "voice"}
Overrides = Mapping[str, tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Files:
    """Where settings are looked for. `config` is what `--config` names."""

    base: FilePath = PROJECT / "config.yaml"
    presets: FilePath = PROJECT / "presets"
    config: FilePath | None = None


def load_settings(
    files: Files | None = None,
    *,
    preset: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Overrides | None = None,
) -> Settings:
    """Read everything once. `overrides` maps a dotted key to the option that set it and its value."""
    files, environ = files or Files(), environ or {}
    preset = preset or environ.get(PRESET_VARIABLE, "").strip()
    layers = _collect(files, preset, environ, overrides or {})
    notices = [line for layer in layers for line in translate(layer)] + _choose_no_memory(layers)
    if preset:
        at = next(index for index, layer in enumerate(layers) if layer.source.startswith(PRESET_LABEL))
        notices += _mention_what_is_overruled(layers, at) + _mention_what_is_left_out(layers, at)
        layers[at + 1 : at + 1] = [_names_of(layer) for layer in layers[:at]]
    values, origins = merge(layers)
    notices += [] if preset else _mention_unused_key(environ, origins)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as problem:
        raise SettingsError(faults_of(problem, origins)) from None
    _refuse_variables_not_set(values, origins)
    return settings.with_provenance({dotted(path): label for path, label in origins.items()}, tuple(notices))


def _mention_unused_key(environ: Mapping[str, str], origins: Mapping[Path, str]) -> list[str]:
    if not environ.get(KEY_VARIABLE) or any(KEY_VARIABLE in label for label in origins.values()):
        return []
    return [f"environment: {KEY_VARIABLE}: is set but not used: start with --preset openai to use it"]


def _names_of(layer: Layer) -> Layer:
    named = {key: layer.values[key] for key in NAMES if key in layer.values}
    return Layer(layer.source, named, labels=layer.labels)


def _name_in(layers: list[Layer], kind: str) -> Any:
    return get(merge(layers)[0], (*SELECTION, kind))


def _mention_what_is_overruled(layers: list[Layer], at: int) -> list[str]:
    """A config.yaml of an earlier day names everything, and whoever asks for a preset then wonders where it is."""
    notices = []
    for kind in SelectedModule.model_fields:
        ours, presets, users = (_name_in(part, kind) for part in (layers[:at], [layers[at]], layers[at + 1 :]))
        if ours and presets and ours != presets and not users:
            key = dotted((*SELECTION, kind))
            remedy = f"leave it empty for {presets} of {layers[at].source}"
            notices.append(f"{layers[0].source}: {key}: {ours} is named there and used: {remedy}")
    return notices


def _mention_what_is_left_out(layers: list[Layer], at: int) -> list[str]:
    """A preset may bring less than a person expects: DeepSeek has a model, but neither recogniser nor voice."""
    left_out = [
        (word, SelectedModule.model_fields[kind].default)
        for kind, word in SPOKEN_KINDS.items()
        if not _name_in(layers, kind)
    ]
    if not 0 < len(left_out) < len(SPOKEN_KINDS):
        return []
    words, embedded = " and ".join(word for word, _ in left_out), " and ".join(name for _, name in left_out)
    return [f"{layers[at].source}: selected_module: has no {words}: {embedded} (embedded) stay in use"]


def _refuse_variables_not_set(values: Tree, origins: Mapping[Path, str]) -> None:
    """Providers are left out: only the chosen ones must be complete, and that is checked when they are chosen."""
    faults = [
        Fault(origins[path], dotted(path), f"needs the environment variable {name}", f"export {name}=… and try again")
        for path, value in leaves(values)
        if path[0] not in PROVIDER_KINDS and (name := variable_not_set(value))
    ]
    if faults:
        raise SettingsError(faults)


def _collect(files: Files, preset: str, environ: Mapping[str, str], overrides: Overrides) -> list[Layer]:
    layers = [read_file(files.base, environ, label=_shown(files.base))] if files.base.is_file() else []
    if preset:
        layers.append(_read_preset(files.presets, preset, environ))
    named = [read_file(files.config, environ, label=_shown(files.config), users=True)] if files.config else []
    own = _data_dir([*layers, _environment_layer(environ, {}), *named, _command_line_layer(overrides)]) / ".config.yaml"
    if own.is_file():
        layers.append(read_file(own, environ, label=_shown(own), users=True))
    return [*layers, _environment_layer(environ, merge([*layers, *named])[0]), *named, _command_line_layer(overrides)]


def _data_dir(layers: list[Layer]) -> FilePath:
    """Where `.config.yaml` is looked for, as far as it can be known before that file is read."""
    value = merge(layers)[0].get("data_dir") or Settings.model_fields["data_dir"].default
    return FilePath(str(value))


def _shown(file: FilePath) -> str:
    """The path as a person would write it."""
    absolute = file.absolute()
    for root in (FilePath.cwd(), PROJECT):
        if absolute.is_relative_to(root):
            return absolute.relative_to(root).as_posix()
    return absolute.as_posix()


def _read_preset(folder: FilePath, name: str, environ: Mapping[str, str]) -> Layer:
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        remedy = did_you_mean(name, known) or f"choose one of: {', '.join(known) or 'none is installed'}"
        raise SettingsError([Fault("preset", name, "there is no preset of this name", remedy)])
    file = folder / f"{name}.yaml"
    return read_file(file, environ, label=f"{PRESET_LABEL}{name} ({_shown(file)})")


def _environment_layer(environ: Mapping[str, str], files: Tree) -> Layer:
    layer = Layer("environment", {})
    for variable, path, value in read_environment(environ):
        exact = _exact_path(path, files)
        put(layer.values, exact, value)
        layer.labels[exact] = f"environment {variable}"
    return layer


def _exact_path(path: Path, files: Tree) -> Path:
    """Variables ignore case: find each name as the tree, a file, or the reference spells it."""
    section: type[BaseModel] | None = Settings
    exact: list[str] = []
    for part in path:
        known = list(section.model_fields) if section else []
        written = get(files, tuple(exact))
        known += list(written) if isinstance(written, dict) else []
        known += [entry for kind, entry in REFERENCE_ENTRIES if [kind] == exact]
        name = next((name for name in known if name.lower() == part), part)
        section = _below(section, name)
        exact.append(name)
    return tuple(exact)


def _below(section: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    found = section.model_fields.get(name) if section else None
    annotation = found.annotation if found else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _command_line_layer(overrides: Overrides) -> Layer:
    layer = Layer("command line", {})
    for key, (option, value) in overrides.items():
        path = tuple(key.split("."))
        put(layer.values, path, value)
        layer.labels[path] = f"command line {option}"
    return layer


def _choose_no_memory(layers: list[Layer]) -> list[str]:
    """In the reference, who selects modules without naming a memory has none. Their words stay unsaved here too."""
    users = [layer for layer in layers if layer.is_users_file]
    selecting = [layer for layer in users if isinstance(get(layer.values, SELECTION), dict)]
    stronger = [layer for layer in layers if layer.source in ("environment", "command line")]
    if not selecting or any(get(layer.values, MEMORY) for layer in [*users, *stronger]):
        return []
    layer = selecting[-1]
    put(layer.values, MEMORY, "nomem")
    return [f"{layer.source}: {dotted(MEMORY)}: not named, so nothing is remembered: add `Memory: mem0ai` to remember"]

"""Settings: one frozen, typed tree out of files, a preset, the environment and the command line."""

from .errors import Fault, SettingsError
from .loading import Files, load_settings
from .masking import secrets_of, show
from .providers import (
    ChosenProvider,
    ChosenProviders,
    choose_providers,
    chosen_by,
    embedded_provider,
    is_chosen_by_preset,
    named_provider,
    survey_providers,
)
from .tree import Settings

__all__ = [
    "ChosenProvider",
    "ChosenProviders",
    "Fault",
    "Files",
    "Settings",
    "SettingsError",
    "choose_providers",
    "chosen_by",
    "embedded_provider",
    "is_chosen_by_preset",
    "load_settings",
    "named_provider",
    "secrets_of",
    "show",
    "survey_providers",
]

"""Where memories are kept, as the settings have it: nowhere, as notes, in our own database, or on Mem0's platform."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .core.providers.memory.mem0ai.platform.options import KEY_VARIABLE, PlatformOptions, PlatformSetupError
from .settings import ChosenProvider, Settings
from .settings.memory_entries import CONTEXT_TOKENS, CacheEntry, LocalShortEntry, Mem0aiEntry

# How long a turn waits for memories: ours are at hand, those of others are a journey away.
EMBEDDED_DEADLINE_S = 0.08
REMOTE_DEADLINE_S = 1.5


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """`platform` is set where Mem0 keeps them; `notices` is what a person should know, one line each.

    `parts` are mem0's own objects for our database, `notes` the settings of the page of notes.
    """

    keeper: Literal["nobody", "notes", "database", "platform"]
    platform: PlatformOptions | None = None
    has_fallback: bool = False
    notices: tuple[str, ...] = ()
    parts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: LocalShortEntry | None = None
    cache: CacheEntry = field(default_factory=CacheEntry)
    context_tokens: int = CONTEXT_TOKENS


def plan_memory(chosen: ChosenProvider, environ: Mapping[str, str] | None = None) -> MemoryPlan:
    """Somebody's key in the environment sends no memory away, unless the entry speaks of the platform."""
    if chosen.type_name == "nomem":
        return MemoryPlan("nobody")
    if isinstance(chosen.config, LocalShortEntry):
        return MemoryPlan("notes", notes=chosen.config)
    entry = chosen.config if isinstance(chosen.config, Mem0aiEntry) else Mem0aiEntry()
    plan = _plan_mem0ai(entry, os.environ if environ is None else environ)
    parts = entry.parts() if plan.keeper == "database" else {}
    return replace(plan, parts=parts, cache=entry.cache, context_tokens=entry.context_tokens)


def _plan_mem0ai(entry: Mem0aiEntry, environ: Mapping[str, str]) -> MemoryPlan:
    found = environ.get(KEY_VARIABLE, "").strip()
    given = entry.api_key.get_secret_value().strip()
    if given or (found and _speaks_of_the_platform(entry)):
        return _platform(entry, given or found)
    if entry.host:
        return _without_key(entry)
    unused = f"{KEY_VARIABLE} is set but not used: memories stay in your own database (see Memory.mem0ai.api_key)"
    return MemoryPlan("database", notices=(unused,) if found else ())


def recall_deadline_s(settings: Settings, chosen: ChosenProvider) -> float:
    """What the settings say, else what suits the keeper."""
    if settings.memory.recall_deadline_ms is not None:
        return settings.memory.recall_deadline_ms / 1000
    plan = plan_memory(chosen)
    is_far = plan.keeper == "platform" or plan.parts.keys() & {"embedder", "vector_store", "reranker"}
    return REMOTE_DEADLINE_S if is_far else EMBEDDED_DEADLINE_S


def _speaks_of_the_platform(entry: Mem0aiEntry) -> bool:
    return bool(entry.model_fields_set & {"api_key", "host", "api_version", "fallback"})


def _platform(entry: Mem0aiEntry, key: str) -> MemoryPlan:
    has_fallback = entry.fallback == "self_hosted"
    try:
        options = PlatformOptions(api_key=key, host=entry.host)
    except PlatformSetupError as problem:
        return MemoryPlan("database" if has_fallback else "nobody", notices=(f"Memory.mem0ai: {problem}",))
    noted = f"Memory.mem0ai.api_version: {entry.api_version} is noted: Mem0's present interface has no use for it"
    return MemoryPlan("platform", options, has_fallback, (noted,) if entry.api_version else ())


def _without_key(entry: Mem0aiEntry) -> MemoryPlan:
    missing = f"Memory.mem0ai.api_key: is missing (nor is there a {KEY_VARIABLE}), so Mem0's platform is not asked"
    if entry.fallback == "self_hosted":
        return MemoryPlan("database", notices=(f"{missing}: memories stay in your own database",))
    return MemoryPlan("nobody", notices=(f"{missing}: nothing is remembered",))

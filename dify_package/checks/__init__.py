"""The rules of the daemon, of its packager, of the SDK and of the marketplace, and our own: each with a name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ..package import Package, UnreadableError
from . import (
    code_rules,
    document_rules,
    manifest_rules,
    provider_rules,
    requirement_rules,
    tool_rules,
    zip_rules,
)
from .registration import sdk_registers_it

Check = Callable[[Package], Iterable[str]]

CHECKS: dict[str, Check] = {
    "zip: paths stay inside": zip_rules.paths_are_safe,
    "zip: order and bytes are fixed": zip_rules.order_is_fixed,
    "zip: small enough": zip_rules.size_is_small,
    "zip: every file that is needed": zip_rules.everything_is_there,
    "zip: no caches, tests, keys": zip_rules.nothing_unwanted,
    "manifest: version, author, name": manifest_rules.identity_is_valid,
    "manifest: texts in every language": manifest_rules.texts_are_there,
    "manifest: runner": manifest_rules.runner_is_valid,
    "manifest: resources": manifest_rules.resources_are_valid,
    "manifest: one tool provider": manifest_rules.plugins_are_tools,
    "manifest: created, privacy, repository": manifest_rules.origin_is_valid,
    "icons": manifest_rules.icons_are_there,
    "provider": provider_rules.provider_is_valid,
    "provider: credentials": provider_rules.credentials_are_valid,
    "tools: all of them": tool_rules.tools_are_complete,
    "tools: schema": tool_rules.tools_are_valid,
    "tools: outputs": tool_rules.outputs_are_described,
    "code: Python 3.12": code_rules.code_is_python,
    "code: one tool in a module": code_rules.one_tool_in_each_module,
    "code: nothing on stdout": code_rules.nothing_is_printed,
    "code: imports are installed": code_rules.imports_are_installed,
    "code: Dify's SDK only where the daemon starts": code_rules.sdk_is_apart,
    "code: no secrets": code_rules.no_secrets,
    "requirements: pinned": requirement_rules.requirements_are_pinned,
    "requirements: both lists say the same": requirement_rules.both_lists_are_equal,
    "requirements: nothing heavy": requirement_rules.nothing_heavy,
    "requirements: versions": requirement_rules.versions_fit,
    "README: English, complete": document_rules.readme_is_english,
    "README: other languages": document_rules.other_readmes_are_named,
    "PRIVACY": document_rules.privacy_is_told,
    "CHANGELOG, LICENSE": document_rules.changes_are_told,
}
REGISTRATION = "SDK: registration"


class Finding(NamedTuple):
    check: str
    problems: tuple[str, ...]


def check(package: Package, python: Path | None = None) -> list[Finding]:
    """What each check found; `python`: an interpreter that has the package's requirements, for the SDK's own check."""
    checks = dict(CHECKS)
    if python is not None:
        checks[REGISTRATION] = lambda given: sdk_registers_it(given, python)
    return [Finding(name, problems(rule, package)) for name, rule in checks.items()]


def problems(rule: Check, package: Package) -> tuple[str, ...]:
    """What one check says; also that it cannot be made."""
    found: list[str] = []
    try:
        found.extend(rule(package))
    except UnreadableError as problem:
        found.append(str(problem))
    except SyntaxError:
        found.append("the code cannot be read")
    except (TypeError, ValueError, AttributeError, RecursionError) as error:  # a value of a kind that no check expects
        found.append(f"something here is not what it should be ({type(error).__name__}: {error})")
    return tuple(found)

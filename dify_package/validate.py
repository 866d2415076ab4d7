"""Whether a package may be handed out: one line a check."""

from collections.abc import Iterator
from pathlib import Path

from .checks import Finding, check
from .package import UnreadableError, read_package


def validate(path: Path, python: Path | None = None) -> list[Finding]:
    try:
        package = read_package(path.read_bytes())
    except UnreadableError as problem:
        return [Finding("zip", (str(problem),))]
    return check(package, python)


def lines(findings: list[Finding]) -> Iterator[str]:
    for name, problems in findings:
        yield f"{'BAD' if problems else 'ok ':3}  {name}"
        yield from (f"       {problem}" for problem in problems)


def is_good(findings: list[Finding]) -> bool:
    return not any(finding.problems for finding in findings)

"""What the zip itself must be."""

from collections import Counter
from collections.abc import Iterator

from ..archive import packed
from ..build import MAX_BYTES
from ..ignore import ignored_by
from ..package import Package

NEEDED = (
    "manifest.yaml",
    "main.py",
    "README.md",
    "readme/README_zh_Hans.md",
    "PRIVACY.md",
    "CONFIG.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    "requirements.txt",
)
_UNWANTED = """
__pycache__/
*.py[cod]
.*_cache/
.venv*/
venv/
.git/
.env*
tests/
test_*.py
conftest.py
*.pem
*.key
*.log
*.sqlite*
*.db
*.difypkg
.DS_Store
minilm*.py
""".splitlines()


def paths_are_safe(package: Package) -> Iterator[str]:
    for name in package.names:
        parts = name.split("/")
        if not name or "\\" in name or name.startswith("/") or ".." in parts or ":" in parts[0]:
            yield f"{name!r} would leave the folder it is unpacked into"
    for name, count in Counter(package.names).items():
        if count > 1:
            yield f"{name!r} is there {count} times"


def order_is_fixed(package: Package) -> Iterator[str]:
    """The same files give the same bytes only if they lie in the daemon's order."""
    files = [name for name in package.names if not name.endswith("/")]
    if len(files) != len(package.names):
        yield "there are entries for folders"
    unsigned = [name for name in files if name != ".verification.dify.json"]
    if unsigned != sorted(unsigned, key=str.encode):
        yield "the files are not sorted by their paths"
    if not package_is_signed(package) and packed(package.files) != package.data:
        yield "packing the same files again gives other bytes"


def package_is_signed(package: Package) -> bool:
    return ".verification.dify.json" in package.files


def size_is_small(package: Package) -> Iterator[str]:
    if len(package.data) > MAX_BYTES:
        yield f"{len(package.data):,} bytes, at most {MAX_BYTES:,}"


def everything_is_there(package: Package) -> Iterator[str]:
    yield from (f"{path} is missing or empty" for path in NEEDED if not package.files.get(path, b"").strip())


def nothing_unwanted(package: Package) -> Iterator[str]:
    unwanted = ignored_by(_UNWANTED)
    yield from (f"{path} does not belong here" for path in package.files if unwanted(path))

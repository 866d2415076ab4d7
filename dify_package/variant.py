"""The package for a store whose client is too large to come with everybody's."""

from .contents import PLUGIN
from .pinning import with_pins, with_version

VARIANTS = ("milvus",)


def as_variant(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    """The same files with more requirements, and a version that tells the two apart."""
    requirements = (PLUGIN / f"requirements-{name}.txt").read_text(encoding="utf-8")
    manifest = files["manifest.yaml"].decode()
    project = with_pins(files["pyproject.toml"].decode(), requirements)
    return files | {
        "manifest.yaml": with_version(manifest, name).encode(),
        "pyproject.toml": with_version(project, name).encode(),
        "requirements.txt": requirements.encode(),
    }

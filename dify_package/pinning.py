"""Writes versions where they stand: the pins into pyproject.toml as well, since the daemon reads either list."""

import re

_VERSION = re.compile(r"""^(version(?: =|:) ["']?[0-9.]+)""", re.MULTILINE)
_LIST = re.compile(r"^dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def with_pins(pyproject: str, requirements: str) -> str:
    lines = [line.strip() for line in requirements.splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    listed = "".join(f'    "{pin}",\n' for pin in pins)
    return _LIST.sub(lambda _: f"dependencies = [\n{listed}]\n", pyproject, count=1)


def with_version(text: str, suffix: str) -> str:
    """The first version in a manifest or in a pyproject.toml, with something behind it."""
    return _VERSION.sub(rf"\g<1>-{suffix}", text, count=1)

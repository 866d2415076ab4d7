"""Writes the versions of requirements.txt into pyproject.toml: the daemon reads the one or the other."""

import re

_LIST = re.compile(r"^dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def with_pins(pyproject: str, requirements: str) -> str:
    lines = [line.strip() for line in requirements.splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    listed = "".join(f'    "{pin}",\n' for pin in pins)
    return _LIST.sub(lambda _: f"dependencies = [\n{listed}]\n", pyproject, count=1)

"""The statements of the store that are more than a line, each in a file of its own."""

from functools import cache
from importlib import resources


@cache
def query(name: str) -> bytes:
    return resources.files(__package__).joinpath(f"{name}.sql").read_bytes()

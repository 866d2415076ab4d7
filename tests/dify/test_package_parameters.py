"""The tools' descriptions and the code speak of the same parameters."""

from typing import Any

import pytest
import yaml

from dify_package.contents import PLUGIN
from mem0_tools.operations import OPERATIONS

TOOLS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (PLUGIN / "tools").glob("*.yaml")}
OF_EVERY_CALL = {"run_id", "timeout"}
VALUES = {
    "memory_id": "11111111-2222-3333-4444-555555555555",
    "metadata": '{"a": 1}',
    "filters": '{"a": 1}',
    "dify_base_url": "http://localhost/v1",
}


class Asked(dict[str, Any]):
    """Remembers what was asked of it."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_each_tool_that_is_described_can_be_called() -> None:
    assert TOOLS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_described_is_read_and_nothing_else(tool: str) -> None:
    described = {one["name"] for one in TOOLS[tool]["parameters"]}
    asked = Asked({name: VALUES.get(name, "1") for name in described})

    OPERATIONS[tool].read(asked)

    assert asked.names - OF_EVERY_CALL == described - OF_EVERY_CALL


@pytest.mark.parametrize("tool", TOOLS)
def test_what_must_be_given_is_missed(tool: str) -> None:
    given = {one["name"]: VALUES.get(one["name"], "1") for one in TOOLS[tool]["parameters"]}
    for one in TOOLS[tool]["parameters"]:
        if one["required"] and one["name"] != "user":  # an empty message is skipped, and no error
            with pytest.raises(ValueError, match="required"):
                OPERATIONS[tool].read({**given, one["name"]: " "})


@pytest.mark.parametrize("tool", ["add_memory", "search_memory", "get_all_memories", "get_memory", "update_memory",
                                  "delete_memory", "delete_all_memories", "get_memory_history"])  # fmt: skip
def test_workflows_can_bind_a_time_limit(tool: str) -> None:
    (timeout,) = (one for one in TOOLS[tool]["parameters"] if one["name"] == "timeout")
    assert timeout["form"] == "llm"

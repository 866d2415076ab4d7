"""Dify's SDK reads the package as the daemon would let it, in the environment of the package's own requirements."""

from tests.dify.environment import Environment

from dify_package.checks.registration import sdk_registers_it
from tests.support.plugin_package import Spoil, spoiled, whole_package, with_more, with_value, without

TOOL, TOOL_CODE = "tools/add_memory.yaml", "tools/add_memory.py"


def _refusal(spoil: Spoil, environment: Environment) -> str:
    (problem,) = sdk_registers_it(spoiled(spoil), environment.python)
    return problem


def test_the_sdk_finds_every_tool(plugin_environment: Environment) -> None:
    assert list(sdk_registers_it(whole_package(), plugin_environment.python)) == []


def test_the_sdk_too_wants_one_tool_in_a_module(plugin_environment: Environment) -> None:
    second = "\nclass Second(Tool):\n    def _invoke(self, tool_parameters):\n        yield\n"
    assert "Multiple subclasses" in _refusal(with_more(TOOL_CODE, second), plugin_environment)


def test_the_sdk_refuses_what_is_no_description_of_a_tool(plugin_environment: Environment) -> None:
    spoil = with_value(TOOL, "parameters", 0, "type", value="text")
    assert "the SDK refused it" in _refusal(spoil, plugin_environment)


def test_a_module_that_does_not_load_is_told(plugin_environment: Environment) -> None:
    assert "no_such_module" in _refusal(with_more(TOOL_CODE, "\nimport no_such_module\n"), plugin_environment)


def test_a_missing_icon_folder_is_told(plugin_environment: Environment) -> None:
    spoil = without("_assets/icon.svg", "_assets/icon_dark.svg")
    assert "_assets" in _refusal(spoil, plugin_environment)

"""Dify's SDK reads the package as the daemon would let it, in the environment of the package's own requirements."""

import subprocess
from pathlib import Path

import pytest

from dify_package.checks.registration import sdk_registers_it
from dify_package.contents import PLUGIN
from tests.dify.environment import Environment
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


# What CONFIG.md says that the package can speak to.
PROVIDERS = {
    "LlmFactory": "openai openai_structured azure_openai azure_openai_structured anthropic deepseek ollama lmstudio"
    " vllm xai minimax sarvam",
    "EmbedderFactory": "openai azure_openai ollama lmstudio",
    "VectorStoreFactory": "pgvector qdrant",
    "RerankerFactory": "llm_reranker",
}
LOAD = """
import importlib, sys
from mem0.utils import factory
known = getattr(factory, sys.argv[1]).provider_to_class
for name in sys.argv[2:]:
    target = known[name][0] if isinstance(known[name], tuple) else known[name]
    module, _, made = target.rpartition(".")
    getattr(importlib.import_module(module), made)
"""


@pytest.mark.parametrize("factory", PROVIDERS)
def test_the_providers_that_the_documents_name_have_their_libraries(
    factory: str, plugin_environment: Environment, tmp_path: Path
) -> None:
    if not plugin_environment.is_the_daemons:
        pytest.skip("the requirements are pinned for Python 3.12")
    command = [str(plugin_environment.python), "-c", LOAD, factory, *PROVIDERS[factory].split()]
    around = {"MEM0_TELEMETRY": "False", "HOME": str(tmp_path)}  # mem0 makes a folder there
    run = subprocess.run(command, capture_output=True, text=True, env=around)

    assert run.returncode == 0, run.stderr
    config = (PLUGIN / "CONFIG.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in config for name in PROVIDERS[factory].split())

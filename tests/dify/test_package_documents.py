"""The documents speak of what is there: every field, every tool, and examples that the plugin takes."""

import json
import re
from typing import Any

import pytest
import yaml

from dify_package.contents import PLUGIN
from mem0_tools.credentials import SelfHosted, settings_of

CONFIG = (PLUGIN / "CONFIG.md").read_text(encoding="utf-8")
READMES = ("README.md", "readme/README_zh_Hans.md")
PROVIDER = yaml.safe_load((PLUGIN / "provider" / "mem0ai.yaml").read_text(encoding="utf-8"))
FIELDS = {
    "llm": "local_llm_json_secret",
    "embedder": "local_embedder_json_secret",
    "store": "local_vector_db_json_secret",
}
EXAMPLES = [
    json.loads(line) for block in re.findall(r"```json\n(.*?)```", CONFIG, re.DOTALL) for line in block.splitlines()
]
GOOD = {
    "llm": {"provider": "openai", "config": {"model": "m", "api_key": "k"}},
    "embedder": {"provider": "openai", "config": {"model": "m", "api_key": "k"}},
    "store": {"provider": "qdrant", "config": {"url": "http://localhost:6333"}},
}


def _place(example: dict[str, Any]) -> str:
    if example["provider"] in ("pgvector", "qdrant", "milvus"):
        return "store"
    return "embedder" if "embed" in str(example["config"].get("model")) else "llm"


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["provider"] for example in EXAMPLES])
def test_every_example_is_taken(example: dict[str, Any]) -> None:
    parts = {**GOOD, _place(example): example}
    if example["provider"] == "llm_reranker":
        parts = {**GOOD, "reranker": example}
    fields = {**FIELDS, "reranker": "local_reranker_json_secret"}

    settings = settings_of({fields[name]: json.dumps(part) for name, part in parts.items()})

    assert isinstance(settings.home, SelfHosted)
    assert settings.warnings == ()
    taken = [settings.home.llm, settings.home.embedder, settings.home.vector_store, settings.home.reranker]
    assert example in [part.as_mem0() for part in taken if part is not None]


def test_there_are_examples_of_everything() -> None:
    wanted = {"pgvector", "qdrant", "milvus", "openai", "openai_structured", "deepseek", "ollama", "llm_reranker"}
    assert {example["provider"] for example in EXAMPLES} == wanted


@pytest.mark.parametrize("field", PROVIDER["credentials_for_provider"])
def test_every_field_is_told(field: str) -> None:
    assert f"`{field}`" in CONFIG


@pytest.mark.parametrize("readme", READMES)
def test_every_tool_is_told(readme: str) -> None:
    text = (PLUGIN / readme).read_text(encoding="utf-8")
    for path in PROVIDER["tools"]:
        assert f"`{path.removeprefix('tools/').removesuffix('.yaml')}`" in text

"""The recipes for models lead where they say: each preset has one with its key, and the example file remembers."""

import re
from pathlib import Path

import pytest

from xiaozhi_server.settings import Files, choose_providers, load_settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs/topics/models.md").read_text(encoding="utf-8")
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))


def commands_of(preset: str, text: str) -> str:
    """What is typed before the server is started with it, back to the recipe before."""
    before, _, _ = text.partition(f"\nmake run PRESET={preset}\n")
    assert before != text, f"there is no recipe for {preset}"
    return re.split(r"\nmake run |\n```sh\n", before)[-1]


@pytest.mark.parametrize("text", [README, MODELS], ids=["README", "models.md"])
@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_has_a_recipe_that_starts_it(preset: str, text: str, tmp_path: Path) -> None:
    exported = re.findall(r"^export (\w+)=", commands_of(preset, text), re.MULTILINE)
    environ = dict.fromkeys(exported, "sk-0123456789")
    settings = load_settings(
        Files(), preset=preset, environ=environ, overrides={"data_dir": ("--data-dir", str(tmp_path))}
    )
    assert choose_providers(settings)["LLM"].type_name == "openai"


def test_the_file_in_the_readme_chooses_its_model_and_still_remembers(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    (tmp_path / ".config.yaml").write_text(example[1], encoding="utf-8")
    chosen = choose_providers(load_settings(Files(), overrides={"data_dir": ("--data-dir", str(tmp_path))}))
    assert (chosen["LLM"].name, chosen["Memory"].type_name) == ("my-model", "mem0ai")

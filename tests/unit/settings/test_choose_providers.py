"""From a name in selected_module to a checked configuration, or one line that says what is missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from xiaozhi_server.settings import Files, Settings, SettingsError, choose_providers, load_settings
from xiaozhi_server.settings.tree import PROVIDER_KINDS


def settings_with(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None, **options: Any) -> Settings:
    (tmp_path / ".config.yaml").write_text(text, encoding="utf-8")
    return load_settings(Files(), environ=environ, overrides={"data_dir": ("--data-dir", str(tmp_path))}, **options)


def faults(settings: Settings) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        choose_providers(settings)
    return caught.value.lines


OPENAI_LLM = "selected_module: {{LLM: Mine, Memory: nomem}}\nLLM: {{Mine: {{type: openai, {} }}}}"


def test_the_default_needs_no_key(tmp_path: Path) -> None:
    chosen = choose_providers(settings_with(tmp_path, ""))
    assert [chosen[kind].type_name for kind in PROVIDER_KINDS] == [
        "silero",
        "none",
        "companion",
        "espeak",
        "mem0ai",
        "nointent",
    ]
    assert chosen.notices == ()


def test_the_preset_serves_model_recogniser_and_voice_with_one_key(tmp_path: Path) -> None:
    environ = {"OPENAI_API_KEY": "sk-0123456789", "OPENAI_BASE_URL": "http://localhost:1/v1"}
    settings = settings_with(tmp_path, "", environ, preset="openai")
    chosen = choose_providers(settings)
    for kind in ("ASR", "LLM", "TTS"):
        config: Any = chosen[kind].config
        assert chosen[kind].type_name == "openai"
        assert config.api_key == SecretStr("sk-0123456789")
        assert config.base_url == "http://localhost:1/v1"
    assert chosen["Memory"].type_name == "mem0ai"


def test_the_preset_without_a_key_says_so_in_one_line_each(tmp_path: Path) -> None:
    lines = faults(settings_with(tmp_path, "", preset="openai"))
    assert len(lines) == 3
    assert lines[1].startswith("preset openai (presets/openai.yaml): LLM.OpenAILLM.api_key: is missing")
    assert lines[1].endswith("export XIAOZHI__LLM__OPENAILLM__API_KEY=…")


def test_a_file_lies_over_the_preset(tmp_path: Path) -> None:
    text = "selected_module: {ASR: none, TTS: espeak, Memory: nomem}\nLLM: {OpenAILLM: {model_name: other}}"
    chosen = choose_providers(settings_with(tmp_path, text, {"OPENAI_API_KEY": "sk-0123456789"}, preset="openai"))
    assert (chosen["ASR"].type_name, chosen["TTS"].type_name) == ("none", "espeak")
    assert chosen["LLM"].values["model_name"] == "other"


def test_an_entry_of_the_reference_needs_only_its_key(tmp_path: Path) -> None:
    text = "selected_module: {LLM: ChatGLMLLM, Memory: nomem}\nLLM: {ChatGLMLLM: {api_key: 0123456789}}"
    config: Any = choose_providers(settings_with(tmp_path, text))["LLM"].config
    assert config.base_url == "https://open.bigmodel.cn/api/paas/v4"
    assert config.model_name == "glm-4-flash"


def test_a_key_of_digits_is_a_text(tmp_path: Path) -> None:
    config: Any = choose_providers(settings_with(tmp_path, OPENAI_LLM.format("api_key: 1234567")))["LLM"].config
    assert config.api_key == SecretStr("1234567")


@pytest.mark.parametrize("placeholder", ["你的deepseek web key", "your-api-key", "<key>", "YOUR_KEY"])
def test_example_text_is_not_a_key(tmp_path: Path, placeholder: str) -> None:
    (line,) = faults(settings_with(tmp_path, OPENAI_LLM.format(f"api_key: '{placeholder}'")))
    assert line.endswith(
        "LLM.Mine.api_key: still holds the example text: put your own there or export XIAOZHI__LLM__MINE__API_KEY=…"
    )


def test_example_text_in_an_entry_that_is_not_chosen_does_not_matter(tmp_path: Path) -> None:
    choose_providers(settings_with(tmp_path, "LLM: {Other: {type: openai, api_key: 你的, x: '${NOT_SET}'}}"))


def test_a_variable_that_is_not_set_matters_once_the_entry_is_chosen(tmp_path: Path) -> None:
    (line,) = faults(settings_with(tmp_path, OPENAI_LLM.format("api_key: '${MY_KEY}'")))
    assert line.endswith("LLM.Mine.api_key: needs the environment variable MY_KEY: export MY_KEY=… and try again")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "selected_module: {LLM: Compagnion, Memory: nomem}",
            "selected_module.LLM: there is no LLM entry named Compagnion: did you mean companion?",
        ),
        ("selected_module: {LLM: Qqqq, Memory: nomem}", "add it below LLM or choose companion"),
        (
            "selected_module: {LLM: Mine, Memory: nomem}\nLLM: {Mine: {type: opneai}}",
            "LLM.Mine.type: there is no LLM of type 'opneai': did you mean openai?",
        ),
        (
            "selected_module: {LLM: Mine, Memory: nomem}\nLLM: {Mine: {model: x}}",
            "LLM.Mine.type: is missing: choose companion, openai",
        ),
        (
            "selected_module: {LLM: Mine, Memory: nomem}\nLLM: {Mine: {type: [openai]}}",
            "LLM.Mine.type: there is no LLM of type ",
        ),
        (OPENAI_LLM.format("api_key: 12345678, temprature: 1"), "unknown key: did you mean temperature?"),
        (OPENAI_LLM.format("api_key: 12345678, temperature: hot"), "LLM.Mine.temperature: must be a number, not 'hot'"),
        ("Memory: {mem0ai: {colour: red}}", "Memory.mem0ai.colour: unknown key: remove it"),
    ],
)
def test_what_is_wrong_is_one_line_with_a_remedy(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = faults(settings_with(tmp_path, text))
    assert expected in line
    assert line.split(": ")[0].endswith(".config.yaml")


def test_faults_of_all_kinds_come_together(tmp_path: Path) -> None:
    text = "selected_module: {LLM: Qqqq, TTS: Wwww, Memory: nomem}"
    assert len(faults(settings_with(tmp_path, text))) == 2


@pytest.mark.parametrize(
    ("kind", "name", "stand_in"),
    [
        ("ASR", "FunASR", "none"),
        ("LLM", "DifyLLM", "companion"),
        ("TTS", "DoubaoTTS", "espeak"),
        ("Memory", "powermem", "mem0ai"),
        ("Memory", "mem_report_only", "nomem"),
        ("Intent", "function_call", "nointent"),
    ],
)
def test_what_only_the_reference_has_gives_way_to_the_embedded_one(
    tmp_path: Path, kind: str, name: str, stand_in: str
) -> None:
    text = yaml.safe_dump({"selected_module": {"Memory": "nomem", kind: name}})
    chosen = choose_providers(settings_with(tmp_path, text))
    assert chosen[kind].name == stand_in
    (notice,) = chosen.notices
    assert f"selected_module.{kind}: {name}: type " in notice and f"{stand_in} is used" in notice


def test_a_key_of_the_reference_that_our_provider_lacks_is_left_out_with_a_line(tmp_path: Path) -> None:
    chosen = choose_providers(settings_with(tmp_path, OPENAI_LLM.format("api_key: 12345678, top_k: 5")))
    assert "top_k" not in chosen["LLM"].values
    assert "LLM.Mine.top_k: no use here: " in chosen.notices[0]


def test_a_type_that_needs_no_settings_may_be_named_itself(tmp_path: Path) -> None:
    text = "selected_module: {LLM: openai, Memory: nomem}"
    (line,) = faults(settings_with(tmp_path, text))
    assert "LLM.openai.api_key: is missing" in line


@pytest.mark.parametrize("entry", ["{type: openai, api_key: sk-0123456789}", "{api_key: sk-0123456789}"])
def test_an_entry_without_a_type_is_named_after_it(tmp_path: Path, entry: str) -> None:
    text = f"selected_module: {{LLM: openai, Memory: nomem}}\nLLM: {{openai: {entry}}}"
    llm = choose_providers(settings_with(tmp_path, text))["LLM"]
    config: Any = llm.config
    assert (llm.type_name, config.api_key) == ("openai", SecretStr("sk-0123456789"))


def test_a_key_for_an_entry_of_the_reference_may_come_from_the_environment(tmp_path: Path) -> None:
    environ = {"XIAOZHI__SELECTED_MODULE__LLM": "DeepSeekLLM", "XIAOZHI__LLM__DEEPSEEKLLM__API_KEY": "sk-0123456789"}
    config: Any = choose_providers(settings_with(tmp_path, "", environ))["LLM"].config
    assert (config.base_url, config.api_key) == ("https://api.deepseek.com", SecretStr("sk-0123456789"))


def test_deepseek_of_the_reference_is_the_model_of_the_preset_that_does_not_think(tmp_path: Path) -> None:
    """The reference's own name for it is retired."""
    text = "selected_module: {{LLM: {}, Memory: nomem}}\nLLM: {{DeepSeekLLM: {{api_key: sk-0123456789{}}}}}"
    config: Any = choose_providers(settings_with(tmp_path, text.format("DeepSeekLLM", "")))["LLM"].config
    environ = {"DEEPSEEK_API_KEY": "sk-0123456789"}
    preset: Any = choose_providers(settings_with(tmp_path, "", environ, preset="deepseek"))["LLM"].config
    assert config == preset
    for other in ("model_name: mine", "base_url: http://localhost:1/v1"):
        config = choose_providers(settings_with(tmp_path, text.format("DeepSeekLLM", f", {other}")))["LLM"].config
        assert not config.extra_body, "a word for one model is not sent to another"


@pytest.mark.parametrize(
    ("type_name", "base_url"), [("ollama", "http://localhost:11434/v1"), ("xinference", "http://localhost:9997/v1")]
)
def test_local_models_are_looked_for_where_they_listen(tmp_path: Path, type_name: str, base_url: str) -> None:
    text = f"selected_module: {{LLM: Mine, Memory: nomem}}\nLLM: {{Mine: {{type: {type_name}, model_name: m}}}}"
    config: Any = choose_providers(settings_with(tmp_path, text))["LLM"].config
    assert config.base_url == base_url

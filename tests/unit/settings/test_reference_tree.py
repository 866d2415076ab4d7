"""A file of the reference server: every key of it has a place in our tables, and the whole of it loads."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from xiaozhi_server.settings import Files, choose_providers, load_settings
from xiaozhi_server.settings.layers import Path as KeyPath
from xiaozhi_server.settings.layers import dotted, leaves
from xiaozhi_server.settings.providers import types_of
from xiaozhi_server.settings.reference import find_key
from xiaozhi_server.settings.reference_providers import REFERENCE_ENTRIES, UNUSED_KEYS, complete
from xiaozhi_server.settings.tree import PROVIDER_KINDS, Settings

REFERENCE = Path(__file__).with_name("reference_config.yaml")
TREE = yaml.safe_load(REFERENCE.read_text(encoding="utf-8"))
RENAMED_PROVIDER_KEYS = ("url", "api_url")
RENAMED_TYPES = ("ollama", "xinference")


def status_of(path: KeyPath) -> str | None:
    if path[0] not in PROVIDER_KINDS:
        key = find_key(path)
        return key.status if key else None
    kind, name, key_name = path[:3]
    given = str(TREE[kind][name]["type"])
    type_name = complete(kind, name, TREE[kind][name])["type"]
    if (kind, name) not in REFERENCE_ENTRIES:
        return None
    if type_name not in types_of(kind) or key_name in UNUSED_KEYS.get((kind, type_name), {}):
        return "not supported"
    return "renamed" if key_name in RENAMED_PROVIDER_KEYS or given in RENAMED_TYPES else "used"


def test_every_key_of_the_reference_is_mapped() -> None:
    statuses = {path: status_of(path) for path, _ in leaves(TREE)}
    assert [dotted(path) for path, status in statuses.items() if status is None] == []
    counts = Counter(statuses.values())
    print(f"{len(statuses)} keys of the reference: {dict(counts)}")  # noqa: T201 - the figures are asked for
    assert counts["used"] > 40 and counts["renamed"] > 10


def test_what_the_table_calls_used_is_in_our_tree() -> None:
    ours = {path for path, _ in leaves(Settings().model_dump())}
    sections = {path[:1] for path in ours}
    for path, _ in leaves(TREE):
        key = find_key(path)
        if key and key.status == "used":
            assert path in ours or (len(key.path) == 1 and key.path in sections), dotted(path)


def test_every_advice_says_something() -> None:
    for path, _ in leaves(TREE):
        key = find_key(path)
        assert key is None or key.status == "used" or key.advice


def test_the_whole_file_of_a_reference_user_loads(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml").write_bytes(REFERENCE.read_bytes())
    settings = load_settings(Files(), overrides={"data_dir": ("--data-dir", str(tmp_path))})
    assert (settings.server.port, settings.server.http_port) == (8100, 8103)
    assert settings.log.log_level == "DEBUG"
    assert settings.close_connection_no_voice_time == 110
    assert settings.xiaozhi.audio_params.sample_rate == 16000
    assert settings.exit_commands == ("leave",)
    assert settings.agent.language == "de"
    assert settings.agent.timezone == "Etc/GMT-2"
    assert settings.agent.summary_memory == "Remember the weather."
    assert settings.prompt == "You are a lighthouse keeper."
    assert not settings.end_prompt.enable
    chosen = {kind: choose_providers(settings)[kind].name for kind in PROVIDER_KINDS}
    assert chosen == {
        "VAD": "SileroVAD",
        "ASR": "none",
        "LLM": "ChatGLMLLM",
        "TTS": "espeak",
        "Memory": "nomem",
        "Intent": "nointent",
    }


def test_what_cannot_be_used_is_said_with_what_to_do_instead(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml").write_bytes(REFERENCE.read_bytes())
    settings = load_settings(Files(), overrides={"data_dir": ("--data-dir", str(tmp_path))})
    text = "\n".join((*settings.notices, *choose_providers(settings).notices))
    assert "mcp_endpoint: no use here: " in text
    assert "server.auth.tokens: no use here: " in text
    assert "selected_module.TTS: DoubaoTTS: type doubao is not supported: espeak is used; " in text
    assert "selected_module.ASR: FunASR: type fun_local is not supported: none is used; " in text
    assert "delete_audio" not in text
    for secret in ("device-token-one", "model-key", "manager-secret", "a-long-auth-key"):
        assert secret not in text


@pytest.mark.parametrize(
    ("name", "base_url"),
    [
        ("DeepSeekLLM", "https://llm.example"),
        ("OllamaLLM", "http://localhost:11434/v1"),
        ("XinferenceLLM", "http://localhost:9997/v1"),
    ],
)
def test_openai_compatible_entries_of_the_reference_are_used(tmp_path: Path, name: str, base_url: str) -> None:
    (tmp_path / ".config.yaml").write_bytes(REFERENCE.read_bytes())
    settings = load_settings(
        Files(), overrides={"data_dir": ("--data-dir", str(tmp_path)), "selected_module.LLM": ("test", name)}
    )
    llm = choose_providers(settings)["LLM"]
    assert (llm.type_name, llm.values["base_url"], llm.values["model_name"]) == ("openai", base_url, "m")

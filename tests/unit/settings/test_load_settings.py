"""Layers over layers: who wins, where a value came from, and what is said when something is wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from xiaozhi_server.settings import Files, Settings, SettingsError, is_chosen_by_preset, load_settings
from xiaozhi_server.settings.layers import leaves
from xiaozhi_server.settings.timezone import local_timezone
from xiaozhi_server.settings.tree import AudioParams

BASE = Files().base


class Place:
    """A project with files of its own."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.data.mkdir()
        (root / "presets").mkdir()
        self.root = root

    def write(self, name: str, text: str) -> Path:
        file = self.root / name
        file.write_text(text, encoding="utf-8")
        return file

    def load(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        preset: str | None = None,
        config: Path | None = None,
        **overrides: Any,
    ) -> Settings:
        options = {key.replace("__", "."): (f"--{key}", value) for key, value in overrides.items()}
        files = Files(self.root / "config.yaml", self.root / "presets", config)
        return load_settings(
            files, preset=preset, environ=environ, overrides={"data_dir": ("--data-dir", str(self.data)), **options}
        )

    def faults(self, environ: Mapping[str, str] | None = None, **options: Any) -> tuple[str, ...]:
        with pytest.raises(SettingsError) as caught:
            self.load(environ, **options)
        return caught.value.lines


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_config_yaml_documents_every_setting_with_its_default() -> None:
    settings = load_settings(Files())
    assert settings.model_dump() == Settings().model_dump()
    written = dict(leaves(yaml.safe_load(BASE.read_text(encoding="utf-8"))))
    assert {path for path, _ in leaves(Settings().model_dump())} <= written.keys()
    filled = {".".join(path) for path, value in written.items() if value is not None}
    assert {key for key, origin in settings.origins.items() if origin == "config.yaml"} == filled
    assert not filled & {"selected_module.ASR", "selected_module.LLM", "selected_module.TTS"}, "presets fill these"


def test_each_layer_lies_over_the_one_before(place: Place) -> None:
    place.write("config.yaml", "server: {port: 1, http_port: 1, ip: a}\nlog: {log_level: INFO}")
    place.write("presets/p.yaml", "server: {port: 2, http_port: 2}")
    place.write("data/.config.yaml", "server: {port: 3}")
    environ = {"XIAOZHI__SERVER__PORT": "4"}
    named = place.write("named.yaml", "server: {port: 5}")
    assert place.load().server.port == 3
    assert place.load(preset="p").server.http_port == 2
    assert place.load({"XIAOZHI_PRESET": "p"}).server.http_port == 2
    assert place.load(environ).server.port == 4
    assert place.load(environ, config=named).server.port == 5
    settings = place.load(environ, config=named, preset="p", server__port=6)
    assert (settings.server.ip, settings.server.http_port, settings.server.port) == ("a", 2, 6)


def test_what_becomes_of_memories_is_set_with_the_agent(place: Place) -> None:
    place.write("config.yaml", "agent: {memory: {forget: true, ttl_days: 90}}")
    memory = place.load().agent.memory
    assert (memory.forget, memory.ttl_days) == (True, 90)
    (line,) = place.faults({"XIAOZHI__AGENT__MEMORY__TTL_DAYS": "0"})
    assert "agent.memory.ttl_days" in line


def test_what_is_summarised_and_whom_an_agent_may_read_is_set_with_it(place: Place) -> None:
    memory = place.load().agent.memory
    assert (memory.compress_after_days, memory.compress_verbatim, memory.share_from) == (None, False, ())
    place.write("config.yaml", "agent: {memory: {compress_after_days: 60, compress_verbatim: true, share_from: [bot]}}")
    memory = place.load().agent.memory
    assert (memory.compress_after_days, memory.compress_verbatim, memory.share_from) == (60, True, ("bot",))
    for variable, value in (("COMPRESS_AFTER_DAYS", "0"), ("SHARE_FROM", '["*"]')):
        (line,) = place.faults({f"XIAOZHI__AGENT__MEMORY__{variable}": value})
        assert f"agent.memory.{variable.lower()}" in line


PRESET = (
    "selected_module: {ASR: PresetASR, LLM: PresetLLM, TTS: PresetTTS}\n"
    "LLM: {PresetLLM: {type: openai, base_url: http://preset, model_name: preset}}\nagent: {language: de}"
)


def test_a_preset_fills_what_the_shipped_config_yaml_leaves_empty(place: Place) -> None:
    place.write("config.yaml", BASE.read_text(encoding="utf-8"))
    place.write("presets/p.yaml", PRESET)
    settings = place.load(preset="p")
    chosen = settings.selected_module
    assert (chosen.ASR, chosen.LLM, chosen.TTS) == ("PresetASR", "PresetLLM", "PresetTTS")
    assert (chosen.Memory, settings.agent.language) == ("mem0ai", "de")
    assert is_chosen_by_preset(settings, "LLM") and not is_chosen_by_preset(settings, "Memory")
    assert settings.notices == ()
    assert place.load().selected_module == Settings().selected_module


@pytest.mark.parametrize("name", ["companion", "Mine"])
def test_what_config_yaml_names_wins_over_the_preset(place: Place, name: str) -> None:
    """Also where it is what would be used without a preset: a name that stands there is a person's."""
    edited = BASE.read_text(encoding="utf-8").replace("\n  LLM:\n", f"\n  LLM: {name}\n")
    place.write("config.yaml", edited)
    place.write("presets/p.yaml", PRESET)
    settings = place.load(preset="p")
    chosen = settings.selected_module
    assert ("PresetASR", name, "PresetTTS") == (chosen.ASR, chosen.LLM, chosen.TTS)
    assert not is_chosen_by_preset(settings, "LLM")
    (notice,) = settings.notices
    assert f"config.yaml: selected_module.LLM: {name} is named there and used: leave it empty for PresetLLM" in notice


def test_so_does_its_entry_of_a_provider_key_by_key(place: Place) -> None:
    place.write("config.yaml", "LLM: {PresetLLM: {model_name: mine}}")
    place.write("presets/p.yaml", PRESET)
    settings = place.load(preset="p")
    assert settings.LLM["PresetLLM"] == {"type": "openai", "base_url": "http://preset", "model_name": "mine"}
    assert settings.origins["LLM.PresetLLM.model_name"].endswith("config.yaml")
    assert settings.origins["LLM.PresetLLM.base_url"].startswith("preset p (")


def test_a_file_of_ones_own_still_wins_over_both(place: Place) -> None:
    place.write("config.yaml", "selected_module: {LLM: Mine, TTS: Mine}")
    place.write("presets/p.yaml", PRESET)
    place.write("data/.config.yaml", "selected_module: {LLM: companion, Memory: nomem}")
    settings = place.load({"XIAOZHI__SELECTED_MODULE__TTS": "espeak"}, preset="p")
    chosen = settings.selected_module
    assert (chosen.ASR, chosen.LLM, chosen.TTS, chosen.Memory) == ("PresetASR", "companion", "espeak", "nomem")
    assert settings.notices == ()


def test_every_value_knows_where_it_came_from(place: Place) -> None:
    place.write("config.yaml", "server: {port: 1, http_port: 1, ip: a}")
    place.write("presets/p.yaml", "server: {port: 2}")
    place.write("data/.config.yaml", "agent: {name: Ann}")
    settings = place.load({"xiaozhi__Log__Log_Level": "warning"}, preset="p", server__http_port=7)
    assert settings.origins["server.ip"].endswith("config.yaml")
    assert settings.origins["server.port"].startswith("preset p (")
    assert settings.origins["agent.name"].endswith(".config.yaml")
    assert settings.origins["log.log_level"] == "environment xiaozhi__Log__Log_Level"
    assert settings.origins["server.http_port"] == "command line --server__http_port"
    assert "limits.max_connections" not in settings.origins
    assert settings.log.log_level == "WARNING"


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().data_dir = "elsewhere"


def test_environment_names_ignore_case_and_find_the_entries_of_files(place: Place) -> None:
    place.write("data/.config.yaml", "LLM: {MyModel: {type: openai, base_url: http://a}}")
    environ = {
        "XIAOZHI__LLM__MYMODEL__API_KEY": "0123456789",
        "xiaozhi__selected_module__llm": "mymodel",
        "XIAOZHI__EXIT_COMMANDS": '["stop it", "enough"]',
        "XIAOZHI__ENABLE_GREETING": "true",
        "XIAOZHI__MEMORY__RECALL_DEADLINE_MS": "120",
        "XIAOZHI__AGENT__NAME": "No",
    }
    settings = place.load(environ)
    assert settings.LLM["MyModel"]["api_key"] == "0123456789"
    assert settings.exit_commands == ("stop it", "enough")
    assert settings.enable_greeting
    assert settings.memory.recall_deadline_ms == 120
    assert settings.agent.name == "No"


def test_environment_names_find_the_entries_of_a_named_file_and_of_the_reference(place: Place) -> None:
    named = place.write("named.yaml", "LLM: {MyModel: {type: openai, base_url: http://a}}")
    environ = {"XIAOZHI__LLM__MYMODEL__API_KEY": "0123456789", "XIAOZHI__LLM__DEEPSEEKLLM__API_KEY": "abcdefghij"}
    settings = place.load(environ, config=named)
    assert settings.LLM["MyModel"] == {"type": "openai", "base_url": "http://a", "api_key": "0123456789"}
    assert settings.LLM["DeepSeekLLM"] == {"api_key": "abcdefghij"}


def test_the_data_directory_that_holds_config_may_come_from_the_environment(place: Place) -> None:
    place.write("data/.config.yaml", "server: {port: 3}")
    settings = load_settings(Files(place.root / "none.yaml"), environ={"XIAOZHI__DATA_DIR": str(place.data)})
    assert (settings.server.port, settings.data_dir) == (3, str(place.data))


def test_a_whole_value_may_be_an_environment_variable(place: Place) -> None:
    place.write("data/.config.yaml", "agent: {name: '${WHO}', id: '${ID:-fallback}'}\nprompt: 'costs ${PRICE}'")
    settings = place.load({"WHO": "Ann"})
    assert (settings.agent.name, settings.agent.id) == ("Ann", "fallback")
    assert settings.prompt == "costs ${PRICE}"
    assert settings.origins["agent.name"].startswith("environment WHO, asked for by ")
    assert place.faults({})[0].endswith(": agent.name: needs the environment variable WHO: export WHO=… and try again")


def test_all_faults_are_said_at_once_each_in_one_line_with_file_key_and_remedy(place: Place) -> None:
    place.write("data/.config.yaml", "server: {prot: 1, http_port: many}\nlogs: {}\nagent: {history: always}")
    lines = place.faults({"XIAOZHI__TURN__ASR_TIMEOUT_S": "-1"})
    text = "\n".join(lines)
    assert len(lines) == 5
    assert all(line.count("\n") == 0 and len(line.split(": ")) >= 4 for line in lines)
    assert ".config.yaml: server.prot: unknown key: did you mean port?" in text
    assert ".config.yaml: server.http_port: must be a whole number, not 'many': the default is 8003; " in text
    assert ".config.yaml: logs: unknown key: did you mean log?" in text
    assert ".config.yaml: agent.history: must be 'off' or 'text': the default is 'text'; " in text
    assert "environment XIAOZHI__TURN__ASR_TIMEOUT_S: turn.asr_timeout_s: must be greater than 0" in text


def test_a_fault_never_shows_a_secret(place: Place) -> None:
    place.write("data/.config.yaml", "database: {url: [a-secret-url]}\nserver: {api_key: another-secret}")
    assert "secret-url" not in "\n".join(place.faults())
    assert "another-secret" not in "\n".join(place.faults())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: {port: 1", "line 1"),
        ("- a\n- b", "is not a mapping of settings"),
        ("prompt: a\nprompt: b", "line 2, column 1: the key 'prompt' is given twice"),
        ("prompt: !!python/object:os.system x", "could not determine a constructor"),
        ("\x00", "is not YAML"),
    ],
)
def test_a_file_that_is_not_settings_is_one_line(place: Place, text: str, expected: str) -> None:
    place.write("data/.config.yaml", text)
    (line,) = place.faults()
    assert ".config.yaml: " in line and expected in line and "\n" not in line


def test_a_broken_file_does_not_show_the_key_that_stands_there(place: Place) -> None:
    place.write("data/.config.yaml", "LLM: {a: {api_key: sk-very-secret: x}}")
    assert "very-secret" not in place.faults()[0]


def test_a_named_file_that_is_missing_is_one_line(place: Place) -> None:
    (line,) = place.faults(config=place.root / "nowhere.yaml")
    assert line.endswith("nowhere.yaml: -: cannot be read (No such file or directory): check the path and its rights")


def test_a_preset_that_does_not_exist_is_one_line(place: Place) -> None:
    place.write("presets/openai.yaml", "")
    assert place.faults(preset="opnai") == ("preset: opnai: there is no preset of this name: did you mean openai?",)
    assert place.faults(preset="../secrets")[0].endswith("choose one of: openai")


def test_an_empty_value_leaves_what_is_below_it(place: Place) -> None:
    place.write("config.yaml", "server: {port: 1}")
    place.write("data/.config.yaml", "server:\nagent: {name: }\nLLM: {}\n")
    settings = place.load()
    assert (settings.server.port, settings.agent.name) == (1, "Xiaozhi")


@pytest.mark.parametrize(("given", "used"), [(120, 110), (5, 60), (75, 75), (110, 110)])
def test_the_idle_time_is_fitted_to_what_devices_bear(place: Place, given: int, used: int) -> None:
    place.write("data/.config.yaml", f"close_connection_no_voice_time: {given}")
    settings = place.load()
    assert settings.close_connection_no_voice_time == used
    assert len(settings.notices) == (0 if given == used else 1)


@pytest.mark.parametrize(("offset", "zone"), [("+8", "Etc/GMT-8"), ("-5", "Etc/GMT+5"), ("0", "Etc/UTC")])
def test_an_offset_becomes_a_time_zone(place: Place, offset: str, zone: str) -> None:
    place.write("data/.config.yaml", f"server: {{timezone_offset: {offset}}}")
    assert place.load().agent.timezone == zone


def test_an_offset_that_is_no_zone_is_said(place: Place) -> None:
    place.write("data/.config.yaml", "server: {timezone_offset: 5.5}")
    assert "cannot be translated: set agent.timezone instead" in place.load().notices[0]


def test_the_new_name_wins_over_the_old_one(place: Place) -> None:
    place.write("data/.config.yaml", "server: {timezone_offset: 8}\nagent: {timezone: Europe/Berlin}")
    assert place.load().agent.timezone == "Europe/Berlin"


def test_a_time_zone_that_does_not_exist_is_a_fault(place: Place) -> None:
    place.write("data/.config.yaml", "agent: {timezone: Mars/Olympus}")
    assert "agent.timezone: must be a time zone such as Europe/Berlin, or auto: " in place.faults()[0]


def test_a_key_that_could_be_guessed_is_not_used(place: Place) -> None:
    place.write("data/.config.yaml", "server: {auth_key: too-short-a-key, auth: {enabled: true}}")
    settings = place.load()
    assert settings.server.auth.enabled
    assert settings.server.auth_key.get_secret_value() == ""
    (notice,) = settings.notices
    assert "server.auth_key: shorter than 16 characters" in notice
    assert "too-short" not in notice


def test_a_proxy_is_an_address_or_a_network(place: Place) -> None:
    place.write("data/.config.yaml", "server: {trusted_proxies: [10.0.0.7, 'fd00::/8']}")
    assert place.load().server.trusted_proxies == ("10.0.0.7", "fd00::/8")
    place.write("data/.config.yaml", "server: {trusted_proxies: [proxy.example]}")
    assert "server.trusted_proxies: 'proxy.example' is no address or network: write a list of " in place.faults()[0]


@pytest.mark.parametrize("text", ["server: {port: yes}", "close_connection_no_voice_time: true", "tts_timeout: on"])
def test_a_switch_is_no_number(place: Place, text: str) -> None:
    place.write("data/.config.yaml", text)
    (line,) = place.faults()
    assert "must be a number, not true or false: the default is " in line


def test_numbers_and_switches_may_stand_in_quotes(place: Place) -> None:
    text = "server: {port: '9000', auth: {enabled: 'false'}}\nclose_connection_no_voice_time: '120'\n"
    place.write("data/.config.yaml", text + "xiaozhi: {audio_params: {sample_rate: '16000', frame_duration: '20'}}")
    settings = place.load()
    assert (settings.server.port, settings.close_connection_no_voice_time) == (9000, 110)
    assert not settings.server.auth.enabled
    assert settings.xiaozhi.audio_params == AudioParams(sample_rate=16000, frame_duration=20)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("exit_commands: quit", "config.yaml documents every setting"),
        ("prompt: [a]", "config.yaml documents every setting"),
        ("LLM: companion", "config.yaml documents every setting"),
        ("database: {url: [a]}", "config.yaml documents every setting"),
        ("enable_greeting: perhaps", "the default is false; config.yaml documents every setting"),
    ],
)
def test_a_remedy_shows_a_default_that_can_be_typed(place: Place, text: str, remedy: str) -> None:
    place.write("data/.config.yaml", text)
    (line,) = place.faults()
    assert line.rpartition(": ")[2] == remedy


@pytest.mark.parametrize("block", ["selected_modules", "selected_module"])
def test_a_file_that_selects_modules_without_a_memory_has_none(place: Place, block: str) -> None:
    place.write("config.yaml", "selected_module: {Memory: mem0ai}")
    place.write("data/.config.yaml", f"{block}: {{LLM: companion}}")
    settings = place.load()
    assert settings.selected_module.Memory == "nomem"
    assert "nothing is remembered" in settings.notices[0]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("server: {port: 1}", {}),
        ("selected_modules: {LLM: companion, Memory: mem0ai}", {}),
        ("selected_module: {LLM: companion}", {"XIAOZHI__SELECTED_MODULE__MEMORY": "mem0ai"}),
    ],
)
def test_memory_stays_where_nothing_speaks_against_it(place: Place, text: str, environ: dict[str, str]) -> None:
    place.write("data/.config.yaml", text)
    assert place.load(environ).selected_module.Memory == "mem0ai"


def test_a_key_without_a_preset_is_mentioned_and_not_used(place: Place) -> None:
    place.write("presets/openai.yaml", "LLM: {A: {type: openai, api_key: '${OPENAI_API_KEY}'}}")
    environ = {"OPENAI_API_KEY": "sk-0123456789"}
    settings = place.load(environ)
    assert settings.notices == (
        "environment: OPENAI_API_KEY: is set but not used: start with --preset openai to use it",
    )
    assert place.load(environ, preset="openai").notices == ()
    assert place.load({}).notices == ()


def test_the_local_time_zone(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    zones = tmp_path / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "Berlin").touch()
    link.symlink_to(zones / "Berlin")
    assert local_timezone("Asia/Tokyo", link) == "Asia/Tokyo"
    assert local_timezone("", link) == "Europe/Berlin"
    assert local_timezone("nonsense", tmp_path / "missing") == "UTC"


def test_no_file_at_all_is_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(
        Files(tmp_path / "none.yaml"), overrides={"data_dir": ("--data-dir", str(tmp_path / "data"))}
    )
    assert settings.server == Settings().server
    assert BASE.is_file()

"""What may be filled in, what is said of what may not, and that no secret is ever repeated."""

import json
from typing import Any

import pytest

from mem0_tools.credentials import Platform, SelfHosted, settings_of
from mem0_tools.errors import CredentialsError

SECRET = "sk-very-secret-0123456789"
LLM = {"provider": "openai", "config": {"model": "m", "api_key": SECRET}}
EMBEDDER = {"provider": "openai", "config": {"api_key": SECRET, "embedding_dims": 8}}
STORE = {"provider": "pgvector", "config": {"connection_string": f"postgresql://me:{SECRET}@db/x"}}


def self_hosted(**more: Any) -> dict[str, Any]:
    return {
        "local_llm_json_secret": json.dumps(LLM),
        "local_embedder_json_secret": json.dumps(EMBEDDER),
        "local_vector_db_json_secret": json.dumps(STORE),
        **more,
    }


def test_three_objects_are_self_hosted_mode_with_the_defaults() -> None:
    settings = settings_of(self_hosted())
    assert isinstance(settings.home, SelfHosted)
    assert settings.home.llm.config["api_key"] == SECRET
    assert settings.home.has_postgres
    assert settings.mode == "self-hosted"
    assert (settings.async_mode, settings.heartbeat_s, settings.max_operations) == (True, 120, 20)
    assert (settings.log_level, settings.memory_ttl_days, settings.checkpoint_ttl_days) == ("INFO", None, 90)
    assert settings.most_pending == 40
    assert settings.warnings == ()


def test_a_key_is_the_platform() -> None:
    settings = settings_of({"mem0_api_key": " m0-key ", "mem0_host": "http://127.0.0.1:8080/"})
    assert settings.home == Platform("m0-key", "http://127.0.0.1:8080")
    assert settings.mode == "platform"


def test_both_is_self_hosted_and_says_so() -> None:
    settings = settings_of(self_hosted(mem0_api_key="m0-key"))
    assert settings.mode == "self-hosted"
    assert any("mem0_api_key" in warning for warning in settings.warnings)


@pytest.mark.parametrize("credentials", [None, {}, {"local_llm_json_secret": " ", "mem0_api_key": ""}])
def test_neither_is_an_error_that_names_both(credentials: dict[str, Any] | None) -> None:
    with pytest.raises(CredentialsError, match=r"local_llm_json_secret.*mem0_api_key"):
        settings_of(credentials)


def test_a_part_that_is_missing_is_named() -> None:
    given = self_hosted()
    del given["local_embedder_json_secret"]
    with pytest.raises(CredentialsError, match="needs local_embedder_json_secret"):
        settings_of(given)


def test_the_names_of_early_versions_are_read() -> None:
    given = {name.removesuffix("_secret"): value for name, value in self_hosted().items()}
    assert settings_of(given).mode == "self-hosted"
    new = settings_of({**given, "local_llm_json_secret": json.dumps({**LLM, "provider": "deepseek"})})
    assert isinstance(new.home, SelfHosted)
    assert new.home.llm.provider == "deepseek"


@pytest.mark.parametrize(
    "text", ["```json\n" + json.dumps(LLM) + "\n```", repr(LLM), f"```\n{LLM!r}\n```", "  " + json.dumps(LLM) + "\n"]
)
def test_objects_in_fences_and_as_python_are_read(text: str) -> None:
    home = settings_of(self_hosted(local_llm_json_secret=text)).home
    assert isinstance(home, SelfHosted)
    assert home.llm.as_mem0() == LLM


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{", "Invalid JSON"),
        (f'{{"api_key": "{SECRET}"', "Invalid JSON"),
        ("[]", "must be a JSON object"),
        ('{"config": {}}', "provider is missing"),
        ('{"provider": "openai"}', "config is missing"),
        ('{"provider": "openai", "config": "x"}', "config is missing or no object"),
        ('{"provider": "pgvector", "config": {}}', "belongs into local_vector_db_json_secret"),
    ],
)
def test_a_broken_object_is_named_and_not_quoted(value: str, problem: str) -> None:
    with pytest.raises(CredentialsError, match=problem) as caught:
        settings_of(self_hosted(local_llm_json_secret=value))
    assert "local_llm_json_secret" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_model_is_no_vector_store() -> None:
    with pytest.raises(CredentialsError, match="local_vector_db_json_secret: openai is a model"):
        settings_of(self_hosted(local_vector_db_json_secret=json.dumps(LLM)))


def test_a_graph_store_is_accepted_with_a_word() -> None:
    graph = json.dumps({"provider": "neo4j", "config": {"url": "bolt://x", "password": SECRET}})
    settings = settings_of(self_hosted(local_graph_db_json_secret=graph))
    assert settings.wants_relations
    assert any("local_graph_db_json_secret" in warning for warning in settings.warnings)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"async_mode": "false"}, {"async_mode": False}),
        ({"async_mode": "nonsense"}, {"async_mode": True}),
        ({"heartbeat_interval": "60"}, {"heartbeat_s": 60}),
        ({"heartbeat_interval": "29"}, {"heartbeat_s": 120}),
        ({"max_concurrent_memory_operations": "1"}, {"max_operations": 1}),
        ({"max_concurrent_memory_operations": "0"}, {"max_operations": 20}),
        ({"max_concurrent_memory_operations": "many"}, {"max_operations": 20}),
        ({"log_level": "debug"}, {"log_level": "DEBUG"}),
        ({"log_level": "LOUD"}, {"log_level": "INFO"}),
        ({"memory_ttl_days": "30"}, {"memory_ttl_days": 30}),
        ({"memory_ttl_days": "-1"}, {"memory_ttl_days": None}),
        ({"memory_ttl_days": ""}, {"memory_ttl_days": None}),
        ({"checkpoint_ttl_days": "1"}, {"checkpoint_ttl_days": 1}),
        ({"checkpoint_ttl_days": "0"}, {"checkpoint_ttl_days": 90}),
    ],
)
def test_switches_and_numbers_are_text_and_fall_back(given: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = settings_of(self_hosted(**given))
    assert {name: getattr(settings, name) for name in expected} == expected


def test_what_is_out_of_bounds_is_said() -> None:
    settings = settings_of(self_hosted(heartbeat_interval="5", max_concurrent_memory_operations="-2"))
    assert len(settings.warnings) == 2


@pytest.mark.parametrize("host", ["ftp://x", "x", "http://", "http://[::1", "https://api.mem0.ai?key=1"])
def test_a_host_is_an_address(host: str) -> None:
    with pytest.raises(CredentialsError, match="mem0_host"):
        settings_of({"mem0_api_key": "m0-key", "mem0_host": host})


def test_a_key_with_blanks_is_none() -> None:
    with pytest.raises(CredentialsError, match="mem0_api_key") as caught:
        settings_of({"mem0_api_key": "m0 key"})
    assert "m0 key" not in str(caught.value)


def test_settings_show_no_secret() -> None:
    assert SECRET not in repr(settings_of(self_hosted()))
    assert "m0-key" not in repr(settings_of({"mem0_api_key": "m0-key"}))


def test_the_fingerprint_changes_with_the_credentials_and_not_with_the_log_level() -> None:
    one = settings_of(self_hosted()).fingerprint
    assert one == settings_of(self_hosted(log_level="DEBUG", async_mode=False)).fingerprint
    assert one != settings_of(self_hosted(heartbeat_interval="60")).fingerprint
    assert len(one) == 64
    assert SECRET not in one

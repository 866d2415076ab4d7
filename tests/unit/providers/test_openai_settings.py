"""What the openai providers are told: names, defaults, and errors that give nothing away."""

from typing import Any

import pytest
from pydantic import ValidationError

from xiaozhi_server.core.providers.asr.openai import OpenAiAsr
from xiaozhi_server.core.providers.llm.openai import OpenAiLlm
from xiaozhi_server.core.providers.tts.openai import OpenAiTts

KEY = "sk-a-very-secret-key"


def llm(**settings: Any) -> Any:
    return OpenAiLlm.Config.model_validate({"api_key": KEY} | settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "http://host:1/v1"),
        ("url", "http://host:1/v1/"),
        ("base_url", "http://host:1/v1/chat/completions"),
        ("api_url", "http://host:1/v1/audio/speech"),
        ("base_url", " http://host:1/v1/audio/transcriptions "),
    ],
)
def test_the_address_may_have_several_names_and_endings(name: str, value: str) -> None:
    assert llm(**{name: value}).base_url == "http://host:1/v1"


@pytest.mark.parametrize(
    "address", ["", "host/v1", "ftp://host", "http://", "http://me:word@host/v1", "http://host:99999/v1"]
)
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        llm(base_url=address)


def test_openai_itself_needs_a_key_and_others_do_not() -> None:
    with pytest.raises(ValidationError, match="OPENAI_API_KEY"):
        OpenAiAsr.Config.model_validate({})
    assert OpenAiAsr.Config.model_validate({"base_url": "http://127.0.0.1:11434/v1"}).api_key.get_secret_value() == ""


def test_older_names_and_blank_values_are_read() -> None:
    config = llm(model_name="m", timeout="20", temperature="", max_tokens="500", top_p=0.9)
    assert (config.model_name, config.timeout_s, config.temperature, config.max_tokens) == ("m", 20.0, None, 500)
    tts = OpenAiTts.Config.model_validate({"api_key": KEY, "model": "tts-1", "format": "wav", "speed": ""})
    assert (tts.model, tts.format, tts.speed, tts.voice) == ("tts-1", "wav", 1.0, "alloy")


def test_nothing_secret_is_shown() -> None:
    assert KEY not in repr(llm()) + str(llm())
    with pytest.raises(ValidationError) as caught:
        OpenAiLlm.Config.model_validate({"api_key": [KEY], "temprature": KEY})
    assert KEY not in str(caught.value)
    assert "temprature" in str(caught.value)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        llm().base_url = "http://elsewhere"

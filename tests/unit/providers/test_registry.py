"""Every provider in the register can be imported, or says which package is missing."""

import importlib.util

import pytest
from pydantic import BaseModel

from xiaozhi_server.core.providers import registry

EXTRAS = {("ASR", "sphinx"): "pocketsphinx", ("TTS", "edge"): "edge_tts"}


@pytest.mark.parametrize(("kind", "type_name"), [key for key in registry.PROVIDERS if key[0] in ("ASR", "LLM", "TTS")])
def test_it_loads_or_says_what_to_install(kind: str, type_name: str) -> None:
    package = EXTRAS.get((kind, type_name))
    if package and importlib.util.find_spec(package) is None:
        with pytest.raises(ImportError, match="pip install"):
            registry.load(kind, type_name)
        return
    provider = registry.load(kind, type_name)
    assert issubclass(provider.Config, BaseModel)
    assert provider.Config.model_config["frozen"]
    assert provider.Config.model_config["extra"] == "forbid"

"""Makes our table a vector store that mem0 knows by name: `{"provider": "xiaozhi", "config": {...}}`."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from .bridge import load_mem0

PROVIDER = "xiaozhi"
_CONFIG = "XiaozhiStoreConfig"


def register(folder: Path) -> None:
    """Load mem0 with its files in `folder` and tell it of the provider, whose settings are `XiaozhiStoreConfig`.

    mem0 has no way for that, so it is written into its tables.
    """
    load_mem0(folder)
    from mem0.utils.factory import VectorStoreFactory
    from mem0.vector_stores.configs import VectorStoreConfig

    package = __name__.rpartition(".")[0]
    store = importlib.import_module(f"{package}.mem0_store")
    settings = ModuleType(f"mem0.configs.vector_stores.{PROVIDER}")
    setattr(settings, _CONFIG, store.XiaozhiStoreConfig)
    sys.modules[settings.__name__] = settings  # mem0 looks for the settings of a provider under this name
    VectorStoreConfig.__private_attributes__["_provider_configs"].default[PROVIDER] = _CONFIG
    VectorStoreFactory.provider_to_class[PROVIDER] = f"{package}.mem0_store.open_store"

"""mem0's own library, held at arm's length: loaded when it is first used, kept quiet, and run beside the event loop.

It reports to nobody, keeps its files in the folder it is given, downloads nothing, and never logs what people said.
"""

import importlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .threads import Threads

T = TypeVar("T")

_THREADS = 2
_LOADING = threading.Lock()


class Mem0Bridge:
    """Models are asked in `threads` threads of its own, however many callers there are. `close` ends nothing that runs.

    Made on the event loop that uses it.
    """

    def __init__(self, folder: Path, *, threads: int = _THREADS) -> None:
        self._folder = folder
        self._threads = Threads("mem0", threads)

    async def run(self, job: Callable[[], T], *, timeout_s: float) -> T:
        """A blocking call with mem0 loaded; TimeoutError where it takes longer."""

        def work() -> T:
            load_mem0(self._folder)
            return job()

        return await self._threads.run(work, timeout_s=timeout_s)

    async def quiet(self, *, timeout_s: float) -> bool:
        """Wait until nothing runs; False if something still does."""
        return await self._threads.quiet(timeout_s=timeout_s)


def load_mem0(folder: Path) -> None:
    """Import mem0. It reads its settings from the environment while it is imported, so those come first."""
    with _LOADING:
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ["MEM0_DIR"] = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for module, name, value in _SILENT:
            # Whoever had imported it before us may have left it talking.
            setattr(importlib.import_module(module), name, value)
        # What fails is raised and told by us; its own lines quote texts and answers.
        logging.getLogger("mem0").setLevel(logging.CRITICAL + 1)


_SILENT: tuple[tuple[str, str, Any], ...] = (
    ("mem0.memory.telemetry", "MEM0_TELEMETRY", False),
    ("mem0.memory.main", "MEM0_TELEMETRY", False),
    # With spaCy installed it would download a model while somebody waits.
    ("mem0.utils.spacy_models", "_load_failed_full", True),
    ("mem0.utils.spacy_models", "_load_failed_lemma", True),
)

"""What there is once in a process, loaded and made when it is first needed: the plugin is ready before that."""

import importlib
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calling import Caller

logger = logging.getLogger(__name__)

_AHEAD_S = 3.0
_HEAVY = (".opening_postgres", ".opening_other", ".opening_platform", "openai", "aiohttp")

_making = threading.Lock()
_made: "list[Caller]" = []


def caller() -> "Caller":
    with _making:
        if not _made:
            from .background import Background
            from .calling import Caller
            from .clients import Clients
            from .opening import open_home

            _made.append(Caller(Background(), Clients(open_home)))
        return _made[0]


def load_ahead(after_s: float = _AHEAD_S) -> None:
    """Load what the first call would wait for, once the plugin has said that it is ready."""
    timer = threading.Timer(after_s, _load)
    timer.daemon = True
    timer.start()


def _load() -> None:
    try:
        caller()
        for name in _HEAVY:
            importlib.import_module(name, __package__)
        from xiaozhi_memory.mem0ai.by_mem0.bridge import load_mem0

        from .places import data_folder

        load_mem0(data_folder() / "mem0")
    except Exception as error:  # noqa: BLE001 - whoever needs it hears of it
        logger.warning("not loaded ahead (%s)", type(error).__name__)


def stop() -> None:
    """At the end of the process: what is under way ends well, as far as the time allows."""
    with _making:
        made = list(_made)
    for one in made:
        one.stop()

"""What there is once in a process, loaded and made when it is first needed: the plugin is ready before that."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calling import Caller

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


def stop() -> None:
    """At the end of the process: what is under way ends well, as far as the time allows."""
    with _making:
        made = list(_made)
    for one in made:
        one.stop()

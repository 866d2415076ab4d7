"""What there is once in a process, made when it is first needed."""

import threading

from .background import Background
from .calling import Caller
from .clients import Clients
from .opening import open_home

_making = threading.Lock()
_made: list[Caller] = []


def caller() -> Caller:
    with _making:
        if not _made:
            _made.append(Caller(Background(), Clients(open_home)))
        return _made[0]


def stop() -> None:
    """At the end of the process: what is under way ends well, as far as the time allows."""
    with _making:
        made = list(_made)
    for one in made:
        one.stop()

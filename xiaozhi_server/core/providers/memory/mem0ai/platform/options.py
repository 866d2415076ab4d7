"""Where Mem0's platform is, the key to it, and how long each thing may take."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..saving.drain import DrainOptions
from ..saving.saver import BatchPolicy

DEFAULT_HOST = "https://api.mem0.ai"
KEY_VARIABLE = "MEM0_API_KEY"


class PlatformSetupError(ValueError):
    """The platform cannot be used as it is set up. The text says what is wrong and how to mend it; no key is in it."""


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """An empty `api_key` is looked for in the environment.

    `event_timeout_s`: how long to wait until the platform has made memories of what it took. `unsure_s`: how long to
    wait for the effect of a request whose answer was lost before it is sent again; for `doubt_s` more it is looked for,
    and what came twice is deleted.
    """

    api_key: str = field(default="", repr=False)
    host: str = ""
    connect_timeout_s: float = 3.0
    search_timeout_s: float = 4.0
    request_timeout_s: float = 15.0
    event_timeout_s: float = 20.0
    unsure_s: float = 20.0
    doubt_s: float = 2 * 86400.0
    sweep_pause_s: float = 2.0
    sweep_longest_pause_s: float = 1800.0
    first_probe_s: float = 0.5
    longest_probe_s: float = 30.0
    refused_probe_s: float = 60.0
    database_timeout_s: float = 10.0
    unsaved_limit: int = 2000
    unsaved_shown: int = 50
    policy: BatchPolicy = field(default_factory=BatchPolicy)
    drain: DrainOptions = field(default_factory=DrainOptions)

    def __post_init__(self) -> None:
        key = self.api_key.strip() or os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise PlatformSetupError(f"Mem0's platform needs an api_key (or {KEY_VARIABLE} in the environment)")
        if not (key.isascii() and key.isprintable()):
            raise PlatformSetupError("the api_key of Mem0's platform holds characters that no key has")
        object.__setattr__(self, "api_key", key)
        host = (self.host.strip() or DEFAULT_HOST).rstrip("/")
        address = urlsplit(host)
        if address.scheme not in ("http", "https") or not address.hostname or address.query or address.fragment:
            raise PlatformSetupError("the host of Mem0's platform must be an address such as https://api.mem0.ai")
        object.__setattr__(self, "host", host)

"""What the terminal shows when the server is up: where it is reached, how to talk to it, what it uses."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

from .settings import ChosenProviders, Settings

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to
LOOPBACK = "127.0.0.1"


class Banner:
    def __init__(self, settings: Settings, chosen: ChosenProviders) -> None:
        self._settings = settings
        self._chosen = chosen

    def text(self, websocket_port: int, http_port: int) -> str:
        hosts = reachable_addresses(self._settings.server.ip)
        ota = (
            [self._settings.server.ota]
            if self._settings.server.ota
            else [f"http{self._s}://{host}:{http_port}/xiaozhi/ota/" for host in hosts]
        )
        websocket = (
            [self._settings.server.websocket]
            if self._settings.server.websocket
            else [f"ws{self._s}://{host}:{websocket_port}/xiaozhi/v1/" for host in hosts]
        )
        rows = [
            ("OTA address", "  ".join(ota) + "   <- type this into the device"),
            ("WebSocket", "  ".join(websocket)),
            ("Talk to it", f"{self._chat_command(http_port)}   (in a second terminal)"),
            ("In use", self._providers()),
            ("Data", self._data()),
            ("Who may come", self._who_may_come()),
        ]
        if self._is_embedded:
            rows.append(("Real models", "OPENAI_API_KEY=... make run PRESET=openai   (or see config.yaml)"))
        rows.append(("Stop", "Ctrl-C"))
        return "\n" + "".join(f"  {name:<13} {value}\n" for name, value in rows) + "\n"

    @property
    def _is_embedded(self) -> bool:
        return self._chosen["LLM"].type_name == "companion"

    @property
    def _s(self) -> str:
        return "s" if self._settings.server.tls.cert else ""

    def _who_may_come(self) -> str:
        if self._settings.server.auth.enabled:
            return "devices with a token; a device id stays with the client that came first (devices list|pair|revoke)"
        return "any device that reaches these ports (server.auth is off): keep them inside your own network"

    def _chat_command(self, http_port: int) -> str:
        if self._s:  # a certificate bears a public name
            return f'make chat ARGS="--ota {self._settings.server.ota or "https://<name in the certificate>/..."}"'
        if http_port == type(self._settings.server)().http_port:
            return "make chat"
        return f'make chat ARGS="--ota http://{LOOPBACK}:{http_port}/xiaozhi/ota/"'

    def _providers(self) -> str:
        parts = []
        for kind in ("VAD", "ASR", "LLM", "TTS", "Memory"):
            chosen = self._chosen[kind]
            named = chosen.name if chosen.name.lower() == chosen.type_name else f"{chosen.name} ({chosen.type_name})"
            parts.append(f"{kind} {named}")
        return ", ".join(parts)

    def _data(self) -> str:
        folder = Path(self._settings.data_dir).absolute()
        url = self._settings.database.url.get_secret_value()
        if not url:
            return f"{folder} (embedded PostgreSQL)"
        return f"{folder}, PostgreSQL on {urlsplit(url).hostname or 'this machine'}"


def reachable_addresses(bound_to: str) -> list[str]:
    """The addresses at which devices find us: the one that was chosen, or those of this machine's networks."""
    if bound_to not in EVERYWHERE:
        return [bound_to]
    return _lan_addresses() or [LOOPBACK]


def _lan_addresses() -> list[str]:
    found = dict.fromkeys([_outward_address(), *_own_name_addresses()])
    return [address for address in found if address and not address.startswith("127.")]


def _outward_address() -> str:
    """Which of our addresses a packet to elsewhere would bear. Nothing is sent: a datagram socket only looks it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _own_name_addresses() -> list[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    except OSError:
        return []

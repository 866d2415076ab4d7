"""Joins the parts that decide who comes in and how, as the settings say: gate, certificate, trusted proxies."""

import ssl
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from .core.gate import TokenGate
from .core.proxies import TrustedProxies
from .core.tokens import TokenMint, kept_key
from .settings import Settings
from .store.database import Database
from .store.pairings import PairingStore
from .tls import server_tls


@dataclass(frozen=True, slots=True)
class Access:
    """Without a gate everybody may come in; without `tls` the ports speak plain TCP."""

    gate: TokenGate | None
    tls: ssl.SSLContext | None
    proxies: TrustedProxies


async def open_access(settings: Settings, database: Database) -> Access:
    server = settings.server
    proxies = TrustedProxies([ip_network(text, strict=False) for text in server.trusted_proxies])
    tls = server_tls(settings)
    if not server.auth.enabled:
        return Access(None, tls, proxies)
    pairings = PairingStore(database)
    await pairings.start()
    key = server.auth_key.get_secret_value() or kept_key(Path(settings.data_dir))
    return Access(TokenGate(TokenMint(key, server.auth.expire_seconds), pairings), tls, proxies)

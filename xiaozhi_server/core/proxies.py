"""What a reverse proxy says about a request, believed only where the proxy was named. Everybody else may write such
headers too, and is taken for what its own connection shows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
HeaderValues = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from. `scheme` and `host` are None where no trusted proxy says them."""

    address: str | None
    scheme: str | None = None
    host: str | None = None


class TrustedProxies:
    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    def origin(self, peer: str | None, headers: HeaderValues) -> Origin:
        """`peer` is the address of the connection itself, `headers` gives every value of a header."""
        if not self._trusts(_address(peer)):
            return Origin(peer)
        scheme = _last(headers("X-Forwarded-Proto")).lower()
        return Origin(
            self._client(headers("X-Forwarded-For")) or peer,
            scheme if scheme in ("http", "https") else None,
            _last(headers("X-Forwarded-Host")) or None,
        )

    def _client(self, values: Sequence[str]) -> str | None:
        """Each proxy adds the address it saw at the end; what stands before the first stranger may be invented."""
        nearest = None
        for text in reversed(",".join(values).split(",")):
            address = _address(text.strip())
            if address is None:
                break
            nearest = str(address)
            if not self._trusts(address):
                break
        return nearest

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _address(text: str | None) -> Address | None:
    try:
        found = ip_address((text or "").strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _last(values: Sequence[str]) -> str:
    return ",".join(values).rpartition(",")[2].strip()

"""Forwarded headers count only from a proxy that was named."""

from collections.abc import Callable, Sequence
from ipaddress import ip_network

import pytest

from xiaozhi_server.core.proxies import Origin, TrustedProxies

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


def headers(**given: str | list[str]) -> Callable[[str], Sequence[str]]:
    """`forwarded_for` stands for X-Forwarded-For."""

    def values(name: str) -> Sequence[str]:
        found = given.get(name.removeprefix("X-").replace("-", "_").lower(), [])
        return [found] if isinstance(found, str) else found

    return values


SAID = headers(forwarded_for="192.0.2.9", forwarded_proto="https", forwarded_host="voice.example")


@pytest.mark.parametrize("peer", ["198.51.100.1", "::1", None, "", "unix"])
def test_a_stranger_is_not_believed(peer: str | None) -> None:
    assert PROXIES.origin(peer, SAID) == Origin(peer)


def test_without_any_name_nobody_is_believed() -> None:
    assert TrustedProxies().origin("10.0.0.1", SAID) == Origin("10.0.0.1")


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_named_proxy_is_believed(peer: str) -> None:
    assert PROXIES.origin(peer, SAID) == Origin("192.0.2.9", "https", "voice.example")


def test_a_proxy_that_says_nothing_is_the_address_itself() -> None:
    assert PROXIES.origin("10.0.0.1", headers()) == Origin("10.0.0.1")


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [
        ("203.0.113.5, 192.0.2.9", "192.0.2.9"),  # the first one was invented by the client
        ("192.0.2.9, 10.1.1.1", "192.0.2.9"),  # two proxies of ours
        (["203.0.113.5", "192.0.2.9"], "192.0.2.9"),  # two header lines
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("192.0.2.9, rubbish", "10.0.0.1"),
        ("192.0.2.9, rubbish, 10.1.1.1", "10.1.1.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        (",,", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(forwarded_for: str, address: str) -> None:
    assert PROXIES.origin("10.0.0.1", headers(forwarded_for=forwarded_for)).address == address


def test_an_unknown_scheme_is_none() -> None:
    assert PROXIES.origin("10.0.0.1", headers(forwarded_proto="gopher")).scheme is None
    assert PROXIES.origin("10.0.0.1", headers(forwarded_proto="https, HTTP")).scheme == "http"

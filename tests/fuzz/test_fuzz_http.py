"""Who a device says it is, and what it posts to the OTA address: any of it leads to an answer it can live with."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.promises import keep_identity_promise, keep_ota_promise

EXAMPLES = settings(max_examples=300, deadline=None)

MAC = "AA-bb:cc-dd:ee-ff"
# What a header can hold when it comes out of an HTTP reader: no line ends, and stray bytes as half characters.
HEADER_TEXT = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),
    max_size=80,
) | st.sampled_from(
    [MAC, "..", "../../etc/passwd", "%00", "x" * 3_000, "Bearer ", "ﷺ" * 300, "'; drop table devices; --"]
)
NAMES = st.sampled_from(
    ["Device-Id", "Client-Id", "Protocol-Version", "User-Agent", "Accept-Language", "Authorization", "Host"]
)
HEADERS = st.dictionaries(
    NAMES, HEADER_TEXT | st.sampled_from(["2", "3", "abc", "zh-CN,en;q=0.8", "Bearer t0ken-t0ken"])
)
HOSTS = (
    st.sampled_from(
        ["192.168.1.5:8003", "box.local", "[::1]:8003", "evil:port", "a:b:c", ":8003", 'x"y:1', "host:99999", "١٢:٣"]
    )
    | HEADER_TEXT
)
QUERY = st.dictionaries(st.sampled_from(["device-id", "client-id", "authorization", "x"]), st.text(max_size=40))
VERSIONS = st.sampled_from(["2.4.2", "v2.0", "٢.٤", "2..4", "1.2.3.4.5.6.7", "0" * 6, "9" * 400, "1.0\n", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | VERSIONS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "application": VALUES | st.fixed_dictionaries({"version": VERSIONS | VALUES}),
        "board": VALUES | st.fixed_dictionaries({"type": VALUES | st.sampled_from(["lamp", "../lamp"])}),
        "mac_address": VALUES,
    },
)


@EXAMPLES
@given(HEADERS, QUERY | st.text(max_size=60))
@example({}, "device-id=" + quote("\0") * 3)
@example({}, "&" * 5_000)
@example({"Device-Id": "\udc80"}, "")
def test_any_identity_keeps_the_promise(headers: dict[str, str], query: dict[str, str] | str) -> None:
    text = query if isinstance(query, str) else urlencode(query, errors="replace")
    keep_identity_promise(headers, f"/xiaozhi/v1/?{text}")


@EXAMPLES
@given(HEADERS, st.text(max_size=60))
def test_any_path_keeps_the_promise(headers: dict[str, str], path: str) -> None:
    keep_identity_promise(headers, path)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newer one for one board, so that the answer with an address in it is asked for too."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "lamp_9.9.9.bin").write_bytes(b"firmware")
    return folder


@EXAMPLES
@given(HEADERS, HOSTS, BODIES)
@example({"Device-Id": MAC}, "evil:port", {"application": {"version": "1.0"}, "board": {"type": "lamp"}})
@example({"Device-Id": MAC}, "box:" + "9" * 5_000, {})
@example({"Device-Id": MAC}, "box.local", {"application": {"version": "٢.٤"}})
def test_any_ota_request_keeps_the_promise(
    firmware: Path, headers: dict[str, str], host: str, body: dict[str, Any]
) -> None:
    keep_ota_promise([*headers.items(), ("Host", host)], json.dumps(body).encode(), firmware)


@EXAMPLES
@given(st.binary(max_size=300))
@example(b"[" * 65_536)
@example(b'{"application":' * 4_000)
@example(b'{"board":{"ssid":"my "net""}}')
@example(b"9" * 5_000)
@example(b"\xff\xfe{\0}\0")
def test_any_ota_body_keeps_the_promise(firmware: Path, body: bytes) -> None:
    keep_ota_promise([("Device-Id", MAC), ("Host", "10.0.0.1:8003")], body, firmware)

"""One spelling for one device, from headers or query, whatever it sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.identity import MAX_ID_CHARS, DeviceIdentity, identify, normalise_device_id, preferred_language
from xiaozhi_server.core.phrases import PhraseSet

MAC = "aa:bb:cc:dd:ee:0f"


@pytest.mark.parametrize("raw", [MAC, "AA:BB:CC:DD:EE:0F", "aa-bb-cc-dd-ee-0f", "AABBCCDDEE0F", f"  {MAC} "])
def test_a_mac_has_one_spelling(raw: str) -> None:
    assert normalise_device_id(raw) == MAC


@pytest.mark.parametrize("raw", ["", " ", "..", "\t"])
def test_nothing_is_no_name(raw: str) -> None:
    assert normalise_device_id(raw) is None


@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_name_becomes_safe_and_stays_what_it_is(raw: str) -> None:
    name = normalise_device_id(raw)
    if name is None:
        return
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= MAX_ID_CHARS
    assert not set(name) & set("/\\ '\"<>?#")
    assert not name.startswith(".")


def test_different_names_stay_different() -> None:
    names = ["a/b", "a_b", "a%b", "ab", "小智", "x" * 300, "x" * 301]
    assert len({normalise_device_id(name) for name in names}) == len(names)


def nothing(_: str) -> None:
    return None


def test_headers_of_firmware() -> None:
    headers = {
        "Device-Id": "AA:BB:CC:DD:EE:0F",
        "Client-Id": "c-1",
        "Protocol-Version": "3",
        "Authorization": "Bearer secret",
    }
    identity = identify(headers.get, "/xiaozhi/v1/")
    assert identity == DeviceIdentity(MAC, "c-1", 3, token="secret")
    assert "secret" not in repr(identity)


def test_query_of_a_browser() -> None:
    path = "/xiaozhi/v1/?authorization=Bearer%20secret&device-id=AA%3ABB%3ACC%3ADD%3AEE%3A0F&client-id=web"
    assert identify(nothing, path) == DeviceIdentity(MAC, "web", 1, token="secret")


@pytest.mark.parametrize("path", ["/", "/?", "/?device-id=", "/?" + "a=1&" * 100, "//[", "/?client-id=x"])
def test_no_name_no_identity(path: str) -> None:
    assert identify(nothing, path) is None


@pytest.mark.parametrize(
    ("value", "version"),
    [(None, 1), ("", 1), ("0", 1), ("1", 1), ("2", 2), ("3", 3), ("9", 1), ("abc", 1), ("-2", 1), ("²", 1)],
)
def test_an_odd_protocol_version_means_one(value: str | None, version: int) -> None:
    identity = identify(lambda name: {"Device-Id": MAC, "Protocol-Version": value}.get(name), "/")
    assert identity is not None
    assert identity.protocol_version == version


def test_a_token_without_a_scheme_is_the_token() -> None:
    identity = identify({"Device-Id": MAC, "Authorization": "abc"}.get, "/")
    assert identity is not None
    assert identity.token == "abc"


@pytest.mark.parametrize("said", ["退出", "退出。", "  退出！ ", "Stop it", "STOP IT!", "ｓｔｏｐ　ｉｔ"])
def test_phrases_are_known_however_they_are_spelled(said: str) -> None:
    assert said in PhraseSet(["退出", "stop it", "  "])


@pytest.mark.parametrize("said", ["", "...", "please stop it", "退出吧"])
def test_other_words_are_no_phrase(said: str) -> None:
    assert said not in PhraseSet(["退出", "stop it", ""])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN", "zh-CN"),
        ("en-US,en;q=0.9", "en-US"),
        ("de;q=0.5", "de"),
        ("*", None),
        ("", None),
        (None, None),
        ("x" * 90, None),
    ],
)
def test_the_preferred_language_is_the_first_tag(header: str | None, language: str | None) -> None:
    assert preferred_language(header) == language

"""Tokens: whose they are, how long they count, and that nothing else passes for one."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.tokens import KEY_FILE, MAX_TOKEN_CHARS, TokenMint, kept_key

KEY = "0123456789abcdef"
MAC, CLIENT = "aa:bb:cc:dd:ee:ff", "client-1"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mint(clock: Clock) -> TokenMint:
    return TokenMint(KEY, 60, clock)


def test_a_token_counts_for_its_device_and_client_only(mint: TokenMint) -> None:
    token = mint.issue(MAC, CLIENT, 3)
    assert mint.generation_of(token, MAC, CLIENT) == 3
    assert mint.generation_of(token, MAC, "client-2") is None
    assert mint.generation_of(token, "aa:bb:cc:dd:ee:00", CLIENT) is None


def test_a_device_can_store_and_send_it(mint: TokenMint) -> None:
    token = mint.issue("x" * 64, "ü" * 200, 2**31 - 1)
    assert token.isascii()
    assert token.isprintable()
    assert " " not in token  # firmware would not put `Bearer` before it
    assert len(token) <= MAX_TOKEN_CHARS


def test_it_expires(mint: TokenMint, clock: Clock) -> None:
    token = mint.issue(MAC, CLIENT, 0)
    clock.now_s += 59
    assert mint.generation_of(token, MAC, CLIENT) == 0
    clock.now_s += 1
    assert mint.generation_of(token, MAC, CLIENT) is None


def test_another_key_makes_other_tokens(mint: TokenMint, clock: Clock) -> None:
    assert TokenMint(KEY + "x", 60, clock).generation_of(mint.issue(MAC, CLIENT, 0), MAC, CLIENT) is None


def test_what_is_written_in_it_cannot_be_changed(mint: TokenMint) -> None:
    form, generation, expires_at, signature = mint.issue(MAC, CLIENT, 1).split(".")
    for forged in (
        f"{form}.2.{expires_at}.{signature}",
        f"{form}.{generation}.{int(expires_at) + 1}.{signature}",
        f"2.{generation}.{expires_at}.{signature}",
        f"{form}.{generation}.{expires_at}.{signature[:-1]}",
        f"{form}.{generation}.{expires_at}.",
    ):
        assert mint.generation_of(forged, MAC, CLIENT) is None


def test_neighbouring_fields_cannot_lend_each_other_characters(mint: TokenMint) -> None:
    assert mint.generation_of(mint.issue("ab", "c", 0), "a", "bc") is None


@given(st.text(max_size=300) | st.from_regex(r"1\.[0-9²]{1,30}\.[0-9²]{1,30}\.[A-Za-z0-9_=-]*", fullmatch=True))
def test_nothing_else_is_a_token_and_nothing_breaks_it(text: str) -> None:
    assert TokenMint(KEY, 60).generation_of(text, MAC, CLIENT) is None


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as executor:
        keys = set(executor.map(lambda _: kept_key(tmp_path), range(32)))
    assert len(keys) == 1
    assert len(keys.pop()) >= 32
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600

"""A secret is never shown, and everything else is."""

import pytest
from pydantic import SecretStr

from xiaozhi_server.settings import secrets_of, show
from xiaozhi_server.settings.masking import MASK, is_secret_name


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "access_token", "secret_key", "password", "Authorization", "token", "appkey"),
        *("access_key_secret", "access_key_id", "secret_id"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert show(name, "sk-0123456789") == MASK
    assert show(name, "") == ""


@pytest.mark.parametrize("name", ["budget_tokens", "max_tokens", "model_name", "port", "keyboard"])
def test_names_of_other_settings(name: str) -> None:
    assert not is_secret_name(name)
    assert show(name, "x") == "x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:pass%40word@host/db", f"postgresql://ann:{MASK}@host/db"),
        ("host=a user=b password=geheimnis dbname=c", f"host=a user=b password={MASK} dbname=c"),
        ("postgresql://ann:p@ss/word@host/db", f"postgresql://ann:{MASK}@host/db"),
        (
            "postgresql://ann@host/db?password=geheim&sslmode=require",
            f"postgresql://ann@host/db?password={MASK}&sslmode=require",
        ),
        ("host=a password = 'ge h\\'eim' dbname=c", f"host=a password = {MASK} dbname=c"),
        ("wss://host/mcp/?token=eyJ.abc&x=1", f"wss://host/mcp/?token={MASK}&x=1"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("", ""),
    ],
)
def test_an_address_shows_everything_but_its_password(url: str, shown: str) -> None:
    assert show("url", SecretStr(url)) == shown
    assert show("url", url) == shown


def test_an_address_that_a_space_has_broken_is_not_shown() -> None:
    assert show("url", SecretStr("postgresql://ann:pass word@host/db")) == MASK


def test_every_secret_of_a_tree_is_found() -> None:
    tree = {
        "database": {"url": SecretStr("postgresql://ann:pass%40word@host/db")},
        "LLM": {"A": {"api_key": "sk-0123456789", "model": "m"}, "B": {"api_key": "none"}},
        "ASR": {"D": {"base_url": "https://host/asr?x=1&token=abc%2Fdefgh"}},
        "TTS": {"C": {"headers": [{"Authorization": "Bearer abcdef"}], "token": 12345678}},
    }
    in_addresses = {"pass%40word", "pass@word", "abc%2Fdefgh", "abc/defgh"}
    assert secrets_of(tree) == in_addresses | {"sk-0123456789", "Bearer abcdef", "12345678"}

"""Where the database is and how many connections are held, from mem0's pgvector settings."""

from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from mem0_tools.connecting import address_of, rules_of
from mem0_tools.errors import CredentialsError

SECRET = "p@ss word+%/?"
PARTS = {"user": "me", "password": SECRET}


def test_the_parts_have_mem0s_defaults() -> None:
    told = conninfo_to_dict(address_of(PARTS))
    assert (told["host"], told["port"], told["dbname"]) == ("localhost", "5432", "postgres")
    assert (told["user"], told["password"]) == ("me", SECRET)


def test_a_connection_string_goes_before_the_parts() -> None:
    told = conninfo_to_dict(address_of({**PARTS, "connection_string": "postgresql://you:x@db:6000/mine"}))
    assert (told["user"], told["host"], told["port"], told["dbname"]) == ("you", "db", "6000", "mine")


def test_options_in_an_address_keep_their_blanks() -> None:
    told = conninfo_to_dict(address_of({"connection_string": "postgresql://u:x@db/d?options=-c%20search_path%3Dmine"}))
    assert told["options"] == "-c search_path=mine"


def test_idle_connections_are_kept_alive() -> None:
    told = conninfo_to_dict(address_of(PARTS))
    assert (told["keepalives"], told["keepalives_idle"], told["keepalives_interval"]) == ("1", "30", "10")
    assert (told["keepalives_count"], told["connect_timeout"]) == ("3", "5")


def test_what_the_address_says_of_itself_stays() -> None:
    told = conninfo_to_dict(address_of({"connection_string": "host=db user=u connect_timeout=2 sslmode=require"}))
    assert (told["connect_timeout"], told["sslmode"]) == ("2", "require")
    assert conninfo_to_dict(address_of({**PARTS, "sslmode": "verify-full"}))["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"user": "me"},
        {"connection_string": "postgresql://me:" + SECRET + "@db"},
        {"connection_string": f"password={SECRET!r} nonsense"},
        {**PARTS, "port": "many"},
        {**PARTS, "port": 70_000},
        {**PARTS, "connection_pool": "x"},
    ],
)
def test_a_wrong_address_is_named_and_not_quoted(config: dict[str, Any]) -> None:
    with pytest.raises(CredentialsError, match="local_vector_db_json_secret") as caught:
        address_of(config)
    assert SECRET not in str(caught.value)


def test_ten_connections_are_the_most_where_nothing_is_said() -> None:
    rules = rules_of({}, operations=20)
    assert (rules.least, rules.most, rules.waiting) == (1, 10, 40)
    assert (rules.lifetime_s, rules.idle_s, rules.timeout_s, rules.reconnect_s) == (3600, 600, 30, 300)
    assert rules.checks


def test_what_is_set_counts() -> None:
    config = {"minconn": "30", "maxconn": 20, "pool_max_waiting": 0, "pool_timeout": "5", "pool_check": False}
    rules = rules_of(config, operations=20)
    assert (rules.least, rules.most, rules.waiting, rules.timeout_s, rules.checks) == (20, 20, 0, 5, False)


@pytest.mark.parametrize("broken", ["x", -1, 0, None, True])
def test_a_broken_size_is_the_default(broken: object) -> None:
    assert rules_of({"maxconn": broken}, operations=1).most == 10

"""No error tells a secret, in whatever form it was filled in: by itself, in an address, in a header."""

import base64
import json
from typing import Any

import pytest

from mem0_tools.calling import refusal_of
from mem0_tools.hiding import secrets_among, secrets_of, without_secrets
from xiaozhi_memory.mem0ai.errors import MemoryInputError, PartFailedError
from xiaozhi_memory.mem0ai.platform.errors import PlatformRejectedError

SECRET = "hunter2-0123456789"


def config(**config: Any) -> dict[str, Any]:
    return {"local_vector_db_json_secret": json.dumps({"provider": "p", "config": config})}


def test_secrets_are_known_by_heart_the_longest_first() -> None:
    found = secrets_of({**config(api_key=SECRET), "mem0_api_key": "m0-key"})
    assert {SECRET, "m0-key"} <= set(found)
    assert [len(one) for one in found] == sorted(map(len, found), reverse=True)


@pytest.mark.parametrize(
    "credentials",
    [
        {"mem0_api_key": f" {SECRET} "},
        {"mem0_api_key": "m0-key", "mem0_host": f"https://me:{SECRET}@mem0.example"},
        {"mem0_api_key": "m0-key", "mem0_host": f"https://mem0.example?api_key={SECRET}"},
        {"local_llm_json": json.dumps({"config": {"api_key": SECRET}})},
        {"local_llm_json_secret": {"config": {"api_key": SECRET}}},
        {"local_llm_json_secret": f"{{'config': {{'api_key': '{SECRET}'}}}}"},
        config(password=SECRET),
        config(Passwd=SECRET),
        config(aws_secret_access_key=SECRET),
        config(openai_base_url=f"https://me:{SECRET}@llm.example/v1"),
        config(openai_base_url=f"https://{SECRET}@llm.example/v1"),
        config(url=f"https://x.example:6333/?api-key={SECRET}&timeout=3"),
        config(url=f"https://x.example/?sv=1&sig={SECRET}"),
        config(http_client_proxies={"https://": f"http://me:{SECRET}@proxy.example"}),
        config(hosts=[f"https://me:{SECRET}@one.example", "https://two.example"]),
        config(connection_string=f"postgresql://me:{SECRET}@db/mem0?sslmode=require"),
        config(connection_string=f"host=db user=me password={SECRET} dbname=mem0"),
        config(connection_string=f"host=db user=me password = '{SECRET}' dbname=mem0"),
        config(connection_string=f"Server=db;Uid=me;Pwd={SECRET};"),
        config(connection_string=f"postgresql://me@db/mem0?password={SECRET}"),
        config(dsn=f"mysql://me:{SECRET}@db/mem0"),
        config(connection_string=f"AccountName=x;AccountKey={SECRET};Suffix=y"),
        config(default_headers={"Authorization": f"Bearer {SECRET}"}),
        config(headers={"X-Api": SECRET}),
        config(headers=[["Authorization", f"Bearer {SECRET}"]]),
        config(extra_headers={"Authorization": "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()}),
        config(http_auth=["me", SECRET]),
        config(auth_config={"user": {"of": SECRET}}),
        config(deeper=[{"and": {"api_token": SECRET}}]),
    ],
    ids=lambda credentials: json.dumps(credentials)[:90],
)
@pytest.mark.parametrize("kind", [PartFailedError, PlatformRejectedError, MemoryInputError])
def test_no_form_of_a_secret_is_told(credentials: dict[str, Any], kind: type[Exception]) -> None:
    error = kind(f"the store refused {SECRET}, it said")
    refusal = refusal_of(error, secrets_of(credentials))
    assert SECRET not in refusal.reason
    assert "refused ***, it said" in refusal.reason


@pytest.mark.parametrize(
    ("written", "meant"), [("p%40ss%2Fw0rd", "p@ss/w0rd"), ("many+words%21", "many words!"), ("p@ss#w0rd", "p@ss#w0rd")]
)
def test_a_password_is_known_as_it_is_written_and_as_it_is_meant(written: str, meant: str) -> None:
    secrets = secrets_of(config(connection_string=f"postgresql://me:{written}@db:5432/mem0"))
    assert without_secrets(f"{written} or {meant}", secrets) == "*** or ***"


def test_a_quoted_password_is_known_without_its_escapes() -> None:
    secrets = secrets_of(config(connection_string=r"host=db password='it\'s me' user=u"))
    assert without_secrets("no: it's me", secrets) == "no: ***"


def test_the_parts_of_an_authorization_are_known() -> None:
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()
    secrets = secrets_of(config(headers={"Authorization": f"Basic {basic}"}))
    assert without_secrets(f"{basic} {SECRET}", secrets) == "*** ***"


def test_what_a_workflow_hands_over_is_known_too() -> None:
    secrets = secrets_among({"dify_api_key": f"Bearer {SECRET}", "dify_base_url": "https://me:an0ther-one@dify/v1"})
    assert without_secrets(f"{SECRET}, an0ther-one", secrets) == "***, ***"
    assert secrets_among({"dify_api_key": None, "dify_base_url": 7, "user": "password=not-a-secret"}) == []


def test_a_secret_within_a_longer_one_does_not_uncover_its_rest() -> None:
    long = f"app-{SECRET}-rest"
    secrets = [*secrets_of(config(api_key=SECRET)), *secrets_among({"dify_api_key": long})]
    assert without_secrets(f"of {long}", secrets) == "of ***"


def test_short_secrets_are_words_and_shorter_ones_are_none() -> None:
    secrets = secrets_of(config(password="tiger", token="a"))
    assert without_secrets("a tiger, not tigers", secrets) == "a ***, not tigers"


def test_what_is_no_secret_is_told() -> None:
    given = config(url="https://qdrant.example:6333", collection_name="mem0-plugin", max_tokens=128000, model="gpt-5")
    text = "https://qdrant.example:6333 mem0-plugin 128000 gpt-5"
    assert without_secrets(text, secrets_of({**given, "log_level": "WARNING"})) == text


def test_numbers_can_be_secrets() -> None:
    assert without_secrets("no 12345678", secrets_of(config(password=12345678))) == "no ***"

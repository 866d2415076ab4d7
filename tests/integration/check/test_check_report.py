"""`check` against real sockets and a real PostgreSQL: what answers, what fails, and which part of it."""

import io
from pathlib import Path

from psycopg.conninfo import make_conninfo

from firmware_sim.cloud import StandInCloud
from tests.support.openai_stub import OpenAiStub, chat, fails_with
from tests.support.postgres import database_dsn, postgres_server
from xiaozhi_server.check import probe_all, run_check, setting_lines
from xiaozhi_server.settings import Files, Settings, choose_providers, load_settings

__all__ = ["database_dsn", "postgres_server"]
KEY = "sk-0123456789abcdef"


def settings_for(folder: Path, dsn: str, text: str = "") -> Settings:
    (folder / ".config.yaml").write_text(text, encoding="utf-8")
    overrides = {"data_dir": ("--data-dir", str(folder)), "database.url": ("test", dsn)}
    return load_settings(Files(), overrides=overrides)


def only_model(base_url: str) -> str:
    return (
        "selected_module: {LLM: Mine, Memory: nomem}\n"
        f"LLM: {{Mine: {{type: openai, api_key: {KEY}, base_url: '{base_url}'}}}}"
    )


async def findings(settings: Settings) -> dict[str, str]:
    return {finding.subject: str(finding) for finding in await probe_all(settings, choose_providers(settings))}


async def test_what_answers_is_told_with_its_latency(tmp_path: Path, database_dsn: str) -> None:
    async with OpenAiStub() as stub:
        stub.reply = chat("OK")
        lines = await findings(settings_for(tmp_path, database_dsn, only_model(stub.base_url)))
    assert lines["LLM Mine (type openai)"].startswith("ok      LLM Mine (type openai): ")
    assert lines["database"].startswith("ok      database: your PostgreSQL, version 18")
    assert "pgvector" in lines["database"] and lines["database"].endswith(" ms)")
    assert all(line.startswith("ok") for line in lines.values()), lines


async def test_a_refused_key_is_told_without_the_key(tmp_path: Path, database_dsn: str) -> None:
    async with OpenAiStub() as stub:
        stub.reply = fails_with(401, {"code": "invalid_api_key"})
        lines = await findings(settings_for(tmp_path, database_dsn, only_model(stub.base_url)))
    line = lines["LLM Mine (type openai)"]
    assert line.startswith("FAILED  LLM Mine") and "401" in line
    assert KEY not in line


async def test_a_database_that_is_away_fails_alone_and_keeps_its_password(tmp_path: Path, unused_tcp_port: int) -> None:
    settings = settings_for(tmp_path, f"postgresql://ann:geheimnis@127.0.0.1:{unused_tcp_port}/x")
    lines = await findings(settings)
    assert lines["database"].startswith("FAILED  database: ") and "refused" in lines["database"]
    assert "geheimnis" not in "".join(lines.values())
    assert lines["VAD SileroVAD (type silero)"].startswith("ok")


def test_an_address_with_a_broken_password_keeps_it(tmp_path: Path) -> None:
    out = io.StringIO()
    assert run_check(settings_for(tmp_path, "postgresql://ann:gehei m@nis@host/x"), out) == 1
    assert "gehei" not in out.getvalue() and "nis@" not in out.getvalue()


async def test_a_wrong_database_name_is_named(tmp_path: Path, database_dsn: str) -> None:
    lines = await findings(settings_for(tmp_path, make_conninfo(database_dsn, dbname="nowhere")))
    assert 'database "nowhere" does not exist' in lines["database"]


def test_the_report_masks_secrets_and_fails_with_1(tmp_path: Path, unused_tcp_port: int) -> None:
    dsn = f"postgresql://ann:geheimnis@127.0.0.1:{unused_tcp_port}/x"
    out = io.StringIO()
    code = run_check(settings_for(tmp_path, dsn, only_model(f"http://127.0.0.1:{unused_tcp_port}/v1")), out)
    text = out.getvalue()
    assert code == 1
    assert KEY not in text and "geheimnis" not in text
    assert "LLM.Mine.api_key" in text and "********" in text
    assert f"postgresql://ann:********@127.0.0.1:{unused_tcp_port}/x" in text
    assert text.count("FAILED  ") == 2


def test_a_provider_that_is_set_up_wrong_does_not_hide_the_others(tmp_path: Path, database_dsn: str) -> None:
    out = io.StringIO()
    text = "selected_module: {LLM: Mine, Memory: nomem}\nLLM: {Mine: {type: openai, temprature: 1}}"
    assert run_check(settings_for(tmp_path, database_dsn, text), out) == 1
    assert "LLM.Mine.temprature: unknown key: did you mean temperature?" in out.getvalue()
    assert "ok      database: " in out.getvalue()


def test_the_embedded_database_is_tried_when_no_other_is_set(tmp_path: Path) -> None:
    out = io.StringIO()
    settings = load_settings(Files(), overrides={"data_dir": ("--data-dir", str(tmp_path))})
    assert run_check(settings, out) == 0, out.getvalue()
    assert "ok      Memory mem0ai (type mem0ai): " in out.getvalue()
    assert "ok      database: the embedded PostgreSQL, version 18" in out.getvalue()


def test_every_setting_stands_in_the_report_with_its_origin(tmp_path: Path) -> None:
    lines = setting_lines(settings_for(tmp_path, "postgresql://h/x", "server: {port: 8111}"))
    (port,) = [line for line in lines if line.strip().startswith("server.port ")]
    assert port.split()[1] == "8111" and port.endswith(".config.yaml")
    assert len(lines) > 60


async def test_memories_on_mem0s_platform_are_asked_for_there(tmp_path: Path, database_dsn: str) -> None:
    async with StandInCloud(phrases=[], api_key=KEY) as cloud:
        text = "Memory: {{mem0ai: {{type: mem0ai, api_key: {}, host: '{}'}}}}"
        good, wrong = (text.format(key, cloud.memory_host) for key in (KEY, "m0-wrong"))
        answered = await findings(settings_for(tmp_path, database_dsn, good))
        refused = await findings(settings_for(tmp_path, database_dsn, wrong))
    subject = "Memory mem0ai (type mem0ai)"
    assert answered[subject].startswith(f"ok      {subject}: kept on Mem0's platform at {cloud.memory_host}")
    assert refused[subject].startswith(f"FAILED  {subject}: ") and "401" in refused[subject]

"""What a log line looks like, where it goes, and what never stands in it."""

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.http_exceptions import BadHttpMessage
from loguru import logger

from xiaozhi_server.logs import REPEATED_AFTER_S, setup_logging
from xiaozhi_server.settings import Settings, SettingsError

SECRET = "sk-0123456789abcdef"


def settings_for(folder: Path, level: str = "INFO") -> Settings:
    return Settings.model_validate(
        {
            "log": {"log_dir": str(folder / "logs"), "log_level": level},
            "LLM": {"Mine": {"type": "openai", "api_key": SECRET}},
        }
    )


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logger.remove()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def log_of(folder: Path) -> str:
    return (folder / "logs" / "server.log").read_text(encoding="utf-8")


def test_each_line_goes_to_console_and_file_with_device_session_and_turn(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    with logger.contextualize(device="02:00", session="s1", turn="t1"):
        logger.info("hello {}", 1)
    logger.info("later")
    assert "[02:00 s1 t1]" in console.getvalue() and "hello 1" in console.getvalue()
    assert "[- - -]" in console.getvalue().splitlines()[1]
    assert log_of(tmp_path) == console.getvalue()


def test_the_level_decides_what_is_written(tmp_path: Path) -> None:
    for level, expected in (("INFO", False), ("DEBUG", True)):
        console = io.StringIO()
        setup_logging(settings_for(tmp_path, level), console)
        logger.debug("recalled 3 memories")
        logging.getLogger("memory.engine").debug("stored 2 rows")
        assert ("recalled 3 memories" in console.getvalue()) is expected
        assert ("stored 2 rows" in console.getvalue()) is expected


def test_lines_of_libraries_keep_their_name_level_and_context(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    with logger.contextualize(device="02:00"):
        logging.getLogger("some.library").warning("disk {%s}", "full")
    assert "WARNING  [02:00 - -] some.library: disk {full}" in console.getvalue()


def test_what_libraries_say_of_requests_stays_out_even_at_debug(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path, "DEBUG"), console)
    for name in ("openai._base_client", "websockets.server", "httpx", "aiohttp.access"):
        logging.getLogger(name).info("authorization: Bearer x")
    assert console.getvalue() == ""


def test_what_repeats_while_the_database_is_away_is_said_now_and_then(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    pool = logging.getLogger("psycopg.pool")
    for number in range(100):
        pool.warning("error connecting in %r: %s", "pool-1", number)
    pool.warning("another message")
    record = logging.LogRecord(
        pool.name, logging.WARNING, "", 0, "error connecting in %r: %s", ("pool-1", "later"), None
    )
    record.created += REPEATED_AFTER_S + 1
    pool.handle(record)
    lines = [line.partition("psycopg.pool: ")[2] for line in console.getvalue().splitlines()]
    assert lines == ["error connecting in 'pool-1': 0", "another message", "error connecting in 'pool-1': later"]


def test_a_secret_is_masked_in_lines_and_in_tracebacks(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    logger.warning("the key {} was refused", SECRET)
    logging.getLogger("some.library").error("bad key %s", SECRET)
    try:
        raise RuntimeError(f"refused: {SECRET}")
    except RuntimeError:
        logger.exception("a call failed")
    text = console.getvalue() + log_of(tmp_path)
    assert SECRET not in text
    assert "the key ******** was refused" in text and "RuntimeError: refused: ********" in text


def test_a_traceback_does_not_show_the_values_of_variables(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    said = "what a person said"
    try:
        len(said) / 0
    except ZeroDivisionError:
        logger.exception("a turn failed")
    assert "ZeroDivisionError" in console.getvalue()
    assert said not in console.getvalue().replace(f'said = "{said}"', "")


def test_a_device_cannot_forge_a_line(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    logger.info("odd type {}", "x\n2026-01-01 ERROR forged\x1b[2J 好")
    (line,) = console.getvalue().splitlines()
    assert "x\\n2026-01-01 ERROR forged\\x1b[2J 好" in line


def test_a_full_file_is_put_aside_and_only_some_are_kept(tmp_path: Path) -> None:
    settings = Settings.model_validate({"log": {"log_dir": str(tmp_path / "logs"), "rotate_at_mb": 1, "keep_files": 2}})
    setup_logging(settings, io.StringIO())
    for _ in range(40):
        logger.info("x" * 100_000)
    assert sorted(file.name for file in (tmp_path / "logs").iterdir()) == ["server.log", "server.log.1", "server.log.2"]


def test_warnings_of_python_are_logged(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path), console)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
    assert "old call" in console.getvalue()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file stands here")
    with pytest.raises(SettingsError) as caught:
        setup_logging(settings_for(tmp_path), io.StringIO())
    (line,) = caught.value.lines
    assert "log.log_dir: " in line and line.endswith(": choose a folder that you may write")


def test_bytes_that_are_no_http_are_one_line_without_the_bytes(tmp_path: Path) -> None:
    console = io.StringIO()
    setup_logging(settings_for(tmp_path, "DEBUG"), console)
    for error in (BadHttpMessage("authorization: Bearer x"), BadHttpMessage("y"), ValueError("ours")):
        logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
    assert console.getvalue().count("refused what is no HTTP request: BadHttpMessage") == 1
    assert "Bearer" not in console.getvalue()
    assert "ValueError: ours" in console.getvalue(), "what is our own fault is shown as before"

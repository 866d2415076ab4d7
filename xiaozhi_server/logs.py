"""Where log lines go and what they look like. It knows no room: everybody just calls loguru's logger.

Each line carries device, session and turn, which come from `logger.contextualize`. Known secrets are masked in the
finished line, tracebacks included, and whatever a device sent cannot break a line in two.
"""

import logging
import logging.handlers
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aiohttp.http_exceptions import HttpProcessingError
from loguru import logger

from .settings import Fault, Settings, SettingsError, secrets_of
from .settings.masking import MASK

if TYPE_CHECKING:
    from loguru import Message, Record

# loguru itself adds the end of the line and the traceback.
LINE = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <8} [{extra[device]} {extra[session]} {extra[turn]}] {name}: {message}"
COLOURED_LINE = (
    "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <8}</level> "
    "<cyan>[{extra[device]} {extra[session]} {extra[turn]}]</cyan> {name}: <level>{message}</level>"
)
# At their lower levels these write request headers and bodies.
TALKATIVE = (
    "openai",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "aiohttp",
    "websockets",
    "urllib3",
    "asyncio",
    "mem0",
)
# While the database is away these say so for every connection and every try.
REPETITIVE = ("psycopg.pool",)
REPEATED_AFTER_S = 10.0
_BYTES_PER_MB = 1_000_000

Mask = Callable[[str], str]


def setup_logging(settings: Settings, console: TextIO | None = None) -> None:
    """Send everything to the console and to a rotated file. May be called again; the last call holds."""
    mask = masker(secrets_of(settings.model_dump()))
    file = _open_file(settings, mask)
    level = settings.log.log_level
    _log_to_console(level, mask, console or sys.stderr)
    logger.add(file, level=level, format=LINE, colorize=False, backtrace=False, diagnose=False)


def setup_console_warnings(settings: Settings) -> None:
    """For commands that print a report of their own: only what goes wrong, and no file."""
    _log_to_console("WARNING", masker(secrets_of(settings.model_dump())), sys.stderr)


def _log_to_console(level: str, mask: Mask, console: TextIO) -> None:
    logger.remove()
    logger.configure(extra={"device": "-", "session": "-", "turn": "-"}, patcher=_keep_on_one_line)
    has_colours = console.isatty()
    line = COLOURED_LINE if has_colours else LINE
    sink = _Masked(console, mask)
    logger.add(sink, level=level, format=line, colorize=has_colours, backtrace=False, diagnose=False)
    _take_over_stdlib(level)


def masker(secrets: frozenset[str]) -> Mask:
    """Replaces every secret in a text. The longest first: one may be a part of another."""
    if not secrets:
        return lambda text: text
    pattern = re.compile("|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True)))
    return lambda text: pattern.sub(MASK, text)


class _Masked:
    """A stream for loguru that no secret passes."""

    def __init__(self, stream: TextIO, mask: Mask) -> None:
        self._stream = stream
        self._mask = mask

    def write(self, message: "Message") -> None:
        self._stream.write(self._mask(message))
        self._stream.flush()


class _MaskedFile:
    """A rotated file for loguru that no secret passes."""

    def __init__(self, handler: logging.handlers.RotatingFileHandler, mask: Mask) -> None:
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.terminator = ""
        self._handler = handler
        self._mask = mask

    def write(self, message: "Message") -> None:
        self._handler.handle(logging.LogRecord("", logging.INFO, "", 0, self._mask(message), None, None))

    def stop(self) -> None:
        self._handler.close()


def _open_file(settings: Settings, mask: Mask) -> _MaskedFile:
    log = settings.log
    file = Path(log.log_dir) / log.log_file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            file, maxBytes=log.rotate_at_mb * _BYTES_PER_MB, backupCount=log.keep_files, encoding="utf-8"
        )
    except OSError as problem:
        source = settings.origins.get("log.log_dir", "settings")
        what = f"{file} cannot be written ({problem.strerror})"
        raise SettingsError([Fault(source, "log.log_dir", what, "choose a folder that you may write")]) from None
    return _MaskedFile(handler, mask)


def _keep_on_one_line(record: "Record") -> None:
    if not record["message"].isprintable():
        record["message"] = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode()
            for character in record["message"]
        )


def _take_over_stdlib(level: str) -> None:
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.getLevelNamesMapping().get(level, 0), force=True)
    logging.captureWarnings(True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in REPETITIVE:
        logging.getLogger(name).filters[:] = [_NowAndThen()]
    logging.getLogger("aiohttp.server").filters[:] = [_StrangersFaults()]


class _NowAndThen(logging.Filter):
    """Lets the same message of a logger, whatever its values, through once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._last_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        if record.created - self._last_at.get(message, float("-inf")) < REPEATED_AFTER_S:
            return False
        self._last_at[message] = record.created
        return True


class _StrangersFaults(_NowAndThen):
    """Bytes that are no HTTP are no error of ours: a line once in a while, without a trace and without the bytes."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = f"refused what is no HTTP request: {type(error).__name__}", ()
        record.exc_info = record.exc_text = None
        return super().filter(record)


class _ToLoguru(logging.Handler):
    """Hands the lines of libraries over to loguru, under the names of their own loggers."""

    def emit(self, record: logging.LogRecord) -> None:
        level: str | int = record.levelname if record.levelname in _LEVELS else record.levelno

        def name_it(line: "Record") -> None:
            line["name"] = record.name

        logger.patch(name_it).opt(exception=record.exc_info).log(level, "{}", record.getMessage())


_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})

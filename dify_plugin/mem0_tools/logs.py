"""Log lines that say which request they belong to, go to the container's log once, and follow the level that is set.

The handler is the SDK's: whoever has it hands it in.
"""

import logging
from contextvars import Context, ContextVar, copy_context

from xiaozhi_memory import __name__ as _memory_package

NO_RUN = "no-run-id"
_LONGEST_RUN = 128
_OURS = (__name__.partition(".")[0], _memory_package)
_MARK = "_mem0_request"

run_id: ContextVar[str] = ContextVar("run_id", default=NO_RUN)


def begin_run(given: str) -> None:
    """From here on, and in what is started from here, lines carry this id."""
    shown = "".join(one for one in given if one.isprintable())[:_LONGEST_RUN]
    run_id.set(shown or NO_RUN)


def of_no_run() -> Context:
    """For what a call begins and all that come share: else its lines would name that call for ever."""
    context = copy_context()
    context.run(run_id.set, NO_RUN)
    return context


def join(handler: logging.Handler) -> None:
    """Our lines go to this handler, and to no other one: what both print would be there twice."""
    if not any(isinstance(one, _WithRun) for one in handler.filters):
        handler.addFilter(_WithRun())
    handler.setLevel(logging.NOTSET)  # it came with INFO, which kept DEBUG back; the loggers decide
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.propagate = False
        if handler not in logger.handlers:
            logger.addHandler(handler)


def set_level(level: str) -> None:
    """At once, for what runs too."""
    for name in _OURS:
        logger = logging.getLogger(name)
        if logging.getLevelName(logger.level) != level:
            logger.setLevel(level)


class _WithRun(logging.Filter):
    """On the handler: the loggers of the memory package know nothing of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(record, _MARK, False) and record.name.startswith(_OURS):
            record.msg = f"[req:{run_id.get().replace('%', '%%') if record.args else run_id.get()}] {record.msg}"
            setattr(record, _MARK, True)
        return True

"""One call of a tool from its parameters to its answer. Whatever happens, there is an answer."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Error as DatabaseError
from psycopg_pool import PoolTimeout, TooManyRequests

from xiaozhi_memory.mem0ai.accepting.accepted import JournalFullError
from xiaozhi_memory.mem0ai.by_mem0.mem0_parts import ProviderConfigError
from xiaozhi_memory.mem0ai.errors import MemoryInputError, MemoryNotFoundError, PartFailedError
from xiaozhi_memory.mem0ai.platform.errors import PlatformError, StillPendingError
from xiaozhi_memory.mem0ai.platform.options import PlatformSetupError

from . import constants, logs
from .answers import ERROR, NOT_FOUND, OVERLOAD, TIMEOUT, Answer, fitted, reason
from .background import Background, Lanes, StoppedError
from .clients import Clients
from .credentials import Settings, settings_of
from .errors import CredentialsError, NotHereError, NothingThereError, OverloadedError, ToolInputError
from .hiding import secrets_among, secrets_of
from .operations import OPERATIONS, Call, Operation, Refusal
from .parameters import Parameters, text_of, timeout_of
from .validation import check

logger = logging.getLogger(__name__)

_STOP_S = 10.0
_VALIDATION_S = constants.LOADING_TIMEOUT + 2 * constants.VALIDATION_TIMEOUT + 5.0
_INPUT = (ToolInputError, CredentialsError, MemoryInputError, NotHereError, ProviderConfigError, PlatformSetupError)
_TOLD = (PlatformError, PartFailedError, StoppedError)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long reads and writes may take where a call does not say it. In sync mode there is none of ours."""

    read_s: float = constants.READ_OPERATION_TIMEOUT
    write_s: float = constants.WRITE_OPERATION_TIMEOUT


class Caller:
    """What all calls of a process share: the loop, the open memories, and how much may be under way for each."""

    def __init__(self, background: Background, clients: Clients, limits: Limits | None = None) -> None:
        self._background = background
        self._clients = clients
        self._limits = limits or Limits()
        self._lanes = Lanes()

    def call(self, tool: str, parameters: Parameters, credentials: Mapping[str, Any] | None) -> Answer:
        """Never raises."""
        began = time.monotonic()
        logs.begin_run("")  # this thread has done others' calls before
        answer = self._answer(tool, parameters, credentials)
        logger.info("%s: %s after %.0f ms", tool, answer.status, 1000 * (time.monotonic() - began))
        return answer

    def _answer(self, tool: str, parameters: Parameters, credentials: Mapping[str, Any] | None) -> Answer:
        operation = OPERATIONS[tool]
        request: Any = None
        try:
            logs.begin_run(text_of(parameters, "run_id"))
            settings = settings_of(credentials)
            logs.set_level(settings.log_level)
            request = operation.read(parameters)
            return fitted(self._done(operation, request, settings, timeout_of(parameters)))
        except Exception as error:  # noqa: BLE001 - a workflow goes on with a status, whatever happens
            refusal = refusal_of(error, [*secrets_of(credentials), *secrets_among(parameters)])
            if refusal.status == ERROR and not refusal.is_input:
                logger.error("%s failed: %s", tool, refusal.reason)
            return fitted(operation.refused(refusal, request))

    def validate(self, credentials: Mapping[str, Any] | None) -> str | None:
        """What is wrong with them, with the mode that they choose; None where nothing is."""
        mode = "memory"
        logs.begin_run("")
        try:
            settings = settings_of(credentials)
            mode = f"{settings.mode} mode"
            logs.set_level(settings.log_level)
            for warning in settings.warnings:
                logger.warning("%s", warning)

            async def reach() -> None:
                async with self._clients.lease(settings) as home:
                    await asyncio.gather(*(beat() for beat in home.beats.values()))

            self._background.call(lambda: check(settings, reach), timeout_s=_VALIDATION_S)
        except Exception as error:  # noqa: BLE001 - whoever saves the credentials is told
            problem = refusal_of(error, secrets_of(credentials)).reason
            logger.warning("the credentials do not work: %s", problem)
            return f"{mode}: {problem}"
        return None

    def pending(self, credentials: Mapping[str, Any]) -> int:
        """How much is under way with these credentials."""
        return self._lanes.pending(settings_of(credentials).fingerprint)

    def stop(self) -> None:
        """What is accepted is done as far as the time allows; the rest is done by the next start."""
        self._background.stop(lambda: self._clients.close(_STOP_S / 2), deadline_s=_STOP_S)

    def _done(self, operation: Operation[Any], request: Any, settings: Settings, asked_s: int | None) -> Answer:
        waits = not settings.async_mode

        async def work() -> Answer:
            async with self._clients.lease(settings) as home:
                call = Call(home, waits, settings.wants_relations)
                return await operation.run(call, request)

        limit_s = self._limit(operation, settings, asked_s)
        with self._lanes.lane(settings.fingerprint, settings.max_operations, settings.most_pending) as lane:
            return self._background.run(lane, work, timeout_s=limit_s)

    def _limit(self, operation: Operation[Any], settings: Settings, asked_s: int | None) -> float | None:
        if asked_s is not None:
            return float(asked_s)
        if not settings.async_mode:
            return None
        return self._limits.read_s if operation.kind == "read" else self._limits.write_s


def refusal_of(error: Exception, secrets: list[str]) -> Refusal:
    """What to say of an error. Only texts that were made to be shown are shown."""
    if isinstance(error, NothingThereError | MemoryNotFoundError):
        return Refusal(NOT_FOUND, "Memory not found")
    if isinstance(error, OverloadedError | TooManyRequests | JournalFullError):
        return Refusal(OVERLOAD, "System overloaded, try again later")
    if isinstance(error, PoolTimeout):
        return Refusal(ERROR, "Error: the database cannot be reached, or gives no connection in time")
    if isinstance(error, TimeoutError | StillPendingError):
        return Refusal(TIMEOUT, "Operation timed out")
    if isinstance(error, _INPUT):
        return Refusal(ERROR, reason(str(error), secrets), is_input=True)
    if isinstance(error, _TOLD):
        return Refusal(ERROR, reason(f"Error: {error}", secrets))
    if isinstance(error, DatabaseError):
        return Refusal(ERROR, f"Error: the database failed ({type(error).__name__})")
    return Refusal(ERROR, f"Error: the memory failed ({type(error).__name__})")

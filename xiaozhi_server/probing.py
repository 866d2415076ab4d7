"""Asks providers one small real question each, and tells in one line what came back. It decides nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from time import perf_counter

from .core.providers.openai_endpoint import (
    EndpointAbsentError,
    EndpointNonsenseError,
    EndpointRefusedError,
    EndpointRejectedError,
)

PROBE_DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, or why it failed. `absent`: there is no such service; `lasting`: waiting will not help."""

    ok: bool
    detail: str
    took_ms: float
    absent: bool = False
    lasting: bool = False


async def put_question(ask: Callable[[], Awaitable[str]]) -> Answer:
    began = perf_counter()
    problem: Exception | None = None
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            detail = await ask()
    except TimeoutError:
        problem = TimeoutError(f"no answer within {PROBE_DEADLINE_S:g} s")
    except Exception as error:  # noqa: BLE001 - a provider call: whatever it raises is the answer
        problem = error
    took_ms = (perf_counter() - began) * 1000
    if problem is None:
        return Answer(True, detail, took_ms)
    lasting = isinstance(problem, EndpointRefusedError | EndpointRejectedError | EndpointNonsenseError)
    return Answer(False, _reason(problem), took_ms, isinstance(problem, EndpointAbsentError), lasting)


def _reason(problem: BaseException) -> str:
    """The error and what lies below it: the innermost one often names the part that failed."""
    chain: list[BaseException] = [problem]
    while (below := chain[-1].__cause__) is not None and below not in chain:
        chain.append(below)
    return "; because ".join(_one_line(link) for link in _without_repeats(chain))


def _one_line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return text or type(problem).__name__


def _without_repeats(chain: Iterable[BaseException]) -> list[BaseException]:
    kept: list[BaseException] = []
    for link in chain:
        if not any(_one_line(link) in _one_line(earlier) for earlier in kept):
            kept.append(link)
    return kept

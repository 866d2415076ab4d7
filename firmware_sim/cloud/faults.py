"""How the stand-in cloud misbehaves, set for each of its services. It only describes; the server acts."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from firmware_sim.cloud.extraction import Wording

Service = Literal["chat", "transcription", "speech", "embeddings", "models", "memory"]
Mode = Literal["good", "garbage", "empty", "stall", "stall_midway", "cut", "cut_midway"]
SERVICES: tuple[Service, ...] = get_args(Service)
MODES: tuple[Mode, ...] = get_args(Mode)

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Fault:
    """What happens to a request.

    garbage: an answer that makes no sense; empty: a success without content; stall: nothing ever comes; cut: the
    connection is dropped; `_midway`: the first half of the answer comes before.
    """

    mode: Mode = "good"
    status: Annotated[int, Field(ge=200, le=599)] = 200
    delay_s: Seconds = 0  # before anything of the answer
    step_s: Seconds = 0  # between two pieces of a streamed answer
    times: Annotated[int, Field(ge=0)] | None = None  # for how many requests it holds; None: until it is changed
    wording: Wording = "as_asked"  # how the chat model says it


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Extraction:
    """How the Mem0 platform makes memories of what it took on: after how long, and how many of the next ones fail."""

    delay_s: Seconds = 0
    failures: Annotated[int, Field(ge=0)] = 0


GOOD = Fault()


@dataclass(slots=True)
class Faults:
    """The fault of each service: assign to change it, at any time."""

    chat: Fault = GOOD
    transcription: Fault = GOOD
    speech: Fault = GOOD
    embeddings: Fault = GOOD
    models: Fault = GOOD
    memory: Fault = GOOD

    def take(self, service: Service) -> Fault:
        """The fault for one request, counted off."""
        fault: Fault = getattr(self, service)
        if fault.times is None:
            return fault
        if fault.times <= 0:
            return GOOD
        setattr(self, service, replace(fault, times=fault.times - 1))
        return fault

    def clear(self) -> None:
        for field in fields(self):
            setattr(self, field.name, GOOD)

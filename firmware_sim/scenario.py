"""Scenarios: what a device does step by step, read from YAML, and what is expected of the answers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firmware_sim.device import Mode, Reply, SimulatedDevice
from firmware_sim.errors import FirmwareError
from firmware_sim.speech import speak

_ANSWERED = ("say", "type", "wake")
_ACTIONS = (*_ANSWERED, "wait_s", "connect", "hang_up", "vanish")


class ScenarioError(Exception):
    """The file is not a scenario; the text says where."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expectation(_Strict):
    """What must hold for a reply; texts are looked for without regard to case."""

    text: str | None = None
    not_text: str | None = None
    stt: str | None = None
    emotion: str | None = None
    max_first_sound_ms: float | None = None
    max_underruns: int | None = None

    def failures(self, reply: Reply) -> list[str]:
        first_sound_s = reply.timings.first_sound_s
        checks = [
            (self.text is None or self.text.casefold() in reply.text.casefold(), f"the text lacks {self.text!r}"),
            (self.not_text is None or self.not_text.casefold() not in reply.text.casefold(), f"said {self.not_text!r}"),
            (self.stt is None or self.stt.casefold() in (reply.stt or "").casefold(), f"heard {reply.stt!r}"),
            (self.emotion is None or self.emotion == reply.emotion, f"the face is {reply.emotion!r}"),
            (
                self.max_first_sound_ms is None
                or (first_sound_s is not None and first_sound_s * 1000 <= self.max_first_sound_ms),
                f"the first sound came after {first_sound_s} s",
            ),
            (self.max_underruns is None or reply.underruns <= self.max_underruns, f"{reply.underruns} underruns"),
        ]
        return [failure for holds, failure in checks if not holds]


class Step(_Strict):
    """One step: exactly one action, and what goes with it."""

    say: str | None = None
    type: str | None = None
    wake: str | None = None
    wait_s: float | None = Field(default=None, ge=0)
    connect: Literal[True] | None = None
    hang_up: Literal[True] | None = None
    vanish: Literal[True] | None = None
    mode: Mode = "auto"
    abort_after_s: float | None = Field(default=None, ge=0)
    timeout_s: float = Field(default=30, gt=0)
    expect: Expectation | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "Step":
        if sum(getattr(self, action) is not None for action in _ACTIONS) != 1:
            raise ValueError(f"a step needs exactly one of {', '.join(_ACTIONS)}")
        if self.action not in _ANSWERED and not (self.expect is None and self.abort_after_s is None):
            raise ValueError(f"{self.action} is not answered: there is nothing to expect or to abort")
        return self

    @property
    def action(self) -> str:
        return next(action for action in _ACTIONS if getattr(self, action) is not None)

    @property
    def title(self) -> str:
        value = getattr(self, self.action)
        return self.action if value is True else f"{self.action} {value}"


class Scenario(_Strict):
    mac: str | None = None
    steps: tuple[Step, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class StepResult:
    title: str
    reply: Reply | None
    failures: tuple[str, ...]

    def report(self) -> dict[str, Any]:
        reply = self.reply.report() if self.reply else None
        return {"step": self.title, "ok": not self.failures, "failures": list(self.failures), "reply": reply}


def load_scenario(path: Path) -> Scenario:
    try:
        return Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ScenarioError(f"{path}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


async def run_scenario(
    scenario: Scenario, device: SimulatedDevice, on_step: Callable[[StepResult], None]
) -> list[StepResult]:
    """Run all steps; one that fails does not stop the rest."""
    results = []
    for step in scenario.steps:
        result = await _run_step(step, device)
        on_step(result)
        results.append(result)
    return results


async def _run_step(step: Step, device: SimulatedDevice) -> StepResult:
    acting = asyncio.create_task(_act(step, device))
    try:
        if step.abort_after_s is not None:
            await _abort(step.abort_after_s, device, acting)
        reply = await acting
    except FirmwareError as error:
        return StepResult(step.title, None, (str(error),))
    finally:
        acting.cancel()
        await asyncio.wait([acting])
    return StepResult(step.title, reply, tuple(step.expect.failures(reply)) if reply and step.expect else ())


async def _abort(after_s: float, device: SimulatedDevice, acting: asyncio.Task[Reply | None]) -> None:
    """Press the button some time after the reply began, if it is not over by then."""
    speaking = asyncio.create_task(device.wait_speaking(timeout_s=None))
    await asyncio.wait([speaking, acting], return_when=asyncio.FIRST_COMPLETED)
    speaking.cancel()
    await asyncio.wait([acting], timeout=after_s)
    if not acting.done():
        device.abort()


async def _act(step: Step, device: SimulatedDevice) -> Reply | None:
    if step.say is not None:
        return await device.say_pcm(speak(step.say), mode=step.mode, timeout_s=step.timeout_s)
    if step.type is not None:
        return await device.say_text(step.type, timeout_s=step.timeout_s)
    if step.wake is not None:
        await device.wake(step.wake, mode=step.mode)
        # Whether a wake word is answered is the server's choice; who expects or aborts something waits for it.
        if step.expect is not None or step.abort_after_s is not None:
            return await device.next_reply(timeout_s=step.timeout_s)
    elif step.wait_s is not None:
        await asyncio.sleep(step.wait_s)
    elif step.connect:
        await device.connect()
    elif step.hang_up:
        await device.hang_up()
    else:
        await device.vanish()
    return None

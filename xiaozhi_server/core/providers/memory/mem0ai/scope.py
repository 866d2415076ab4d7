"""Whose memories a call is about, checked before anything is touched; and who of a household is meant by a name."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from ..speaker import person_named
from .errors import InvalidIdError

__all__ = ["InvalidIdError", "OfAgent", "Scope", "Whose", "checked_id", "owner_of"]

_LONGEST_ID = 256
_PERSON = "/person:"
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class Scope:
    """One owner, and within it an agent or a run; None means any of this owner's.

    For a recall alone the agent may also read of `also_agents`, and with `shared` of those that were granted to it.
    """

    user_id: str
    agent_id: str | None = None
    run_id: str | None = None
    also_agents: tuple[str, ...] = ()
    shared: bool = False

    def __post_init__(self) -> None:
        checked_id("user_id", self.user_id)
        for name, value in (("agent_id", self.agent_id), ("run_id", self.run_id)):
            if value is not None:
                checked_id(name, value)
        for other in self.also_agents:
            checked_id("also_agents", other)

    def reading(self, granted: Iterable[str]) -> "Scope":
        """With what was granted."""
        return replace(self, also_agents=(*self.also_agents, *granted), shared=False) if self.shared else self

    def by_agent(self) -> list["Scope"]:
        """One for each agent, for stores that can be asked for one at a time."""
        if self.agent_id is None:
            return [self]
        agents = dict.fromkeys((self.agent_id, *self.also_agents))
        return [Scope(self.user_id, agent_id, self.run_id) for agent_id in agents]

    def has(self, agent_id: str, run_id: str) -> bool:
        """Whether a memory of this owner with these is inside."""
        of_agent = self.agent_id in (None, agent_id) or agent_id in self.also_agents
        return of_agent and self.run_id in (None, run_id)


@dataclass(frozen=True, slots=True)
class OfAgent:
    """What one agent heard, of whomever."""

    agent_id: str

    def __post_init__(self) -> None:
        checked_id("agent_id", self.agent_id)


Whose = Scope | OfAgent


def checked_id(name: str, value: object) -> str:
    """The id itself, or an error: some stores take "*" for everybody, and a blank one would be shared by all."""
    if not isinstance(value, str):
        raise InvalidIdError(f"{name} must be text, not {type(value).__name__}")
    if not value or value != value.strip():
        raise InvalidIdError(f"{name} must not be empty nor begin or end with a blank")
    if value == "*" or not value.isprintable() or len(value) > _LONGEST_ID:
        raise InvalidIdError(f"{name} must be printable, at most {_LONGEST_ID} characters long, and not a wildcard")
    return value


def owner_of(household: str, speaker: str | None) -> str:
    """The `user_id` of somebody of this household: of the person whose voice was recognised, else the household's own.

    These ids lie in databases: their form may never change.
    """
    checked_id("user_id", household)
    if speaker is None or (name := person_named(speaker)) is None:
        return household
    owner = f"{household}{_PERSON}{name}"
    if len(owner) <= _LONGEST_ID:
        return owner
    digest = sha256(owner.encode()).hexdigest()[:_DIGEST]
    return f"{owner[: _LONGEST_ID - _DIGEST - 1]}~{digest}"

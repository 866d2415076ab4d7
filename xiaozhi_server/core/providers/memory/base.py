"""The port to memory: what a person said before, found again in time for the answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class SpokenMessage:
    """One message as it was heard. Only user and assistant messages are ever remembered.

    `speaker` names the person whose voice was recognised. A content that wraps both, `{"speaker": …, "content": …}`, is
    unwrapped; "unknown" and the like name nobody. What recall brought, and somebody repeats word for word, is not
    remembered again: lines that begin with their time in brackets, and a block `<memory>…</memory>`.

    `images` are the addresses of pictures; in the content a mark `[image]` stands for each.
    """

    role: Literal["user", "assistant"]
    content: str
    spoken_at: datetime
    speaker: str | None = None
    images: tuple[str, ...] = ()


# A script may also hand over plain dicts: `role` and `content` (text, or parts: texts and pictures), and where it
# knows them `spoken_at` (a datetime or its ISO form; else it is now) and `speaker` or `name`.
AnyMessage = SpokenMessage | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Memory:
    """One remembered text, at full length or cut where it is long; anything may stand in it: quote it where you use it.

    `timestamp` is the newer of created and updated, timezone-aware. `speaker` names who said it, where that is known.
    `valid_to` is until when it is or was true; `is_over` that it is not true any more.
    """

    id: str
    text: str
    timestamp: datetime
    score: float
    speaker: str | None = None
    valid_to: datetime | None = None
    is_over: bool = False

    def validity(self, zone: tzinfo) -> str:
        """What is put behind its text, so that nobody takes it for true now: " (until 2026-11-20)"."""
        if self.valid_to is not None:
            return f" (until {self.valid_to.astimezone(zone):%Y-%m-%d})"
        return " (not true any more)" if self.is_over else ""


MOST_CATEGORIES = 50
LONGEST_CATEGORY = 64


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """What an agent wants done with its memories: nothing, where nothing is said.

    `forget`: what is not recalled fades, and goes in the end. `ttl_days`: what was said longer ago goes, recalled or
    not. `categories`: the names under which a model files them. `compress_after_days`: episodes older than that are
    summarised, with `compress_verbatim` also texts that are kept word for word. `share_from`: agents whose memories of
    the same person this one may read.
    """

    forget: bool = False
    ttl_days: int | None = None
    categories: tuple[str, ...] = ()
    compress_after_days: int | None = None
    compress_verbatim: bool = False
    share_from: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("ttl_days", "compress_after_days"):
            days = getattr(self, name)
            if days is not None and days < 1:
                raise ValueError(f"{name} must be 1 or more")
        if len(self.categories) > MOST_CATEGORIES or not all(map(_is_category, self.categories)):
            raise ValueError(f"categories are at most {MOST_CATEGORIES} names of 1 to {LONGEST_CATEGORY} characters")


def _is_category(name: str) -> bool:
    return 0 < len(name) <= LONGEST_CATEGORY and name == name.strip() and "\0" not in name


# The rules of all agents that have any, by the agents' ids.
AgentRules = Callable[[], Awaitable[Mapping[str, MemoryRules]]]


class MemoryProvider(Protocol):
    """One owner's light view of a shared engine: cheap to make, one per connection.

    `role_id` is the owner (it becomes mem0's `user_id`). A script may simply set it, `provider.role_id = agent.id`, and
    need not call `init_memory`. Where a speaker is known the owner is that person of this household: what they say, and
    what they are answered, is theirs; a question of theirs finds their own memories and the household's, and nobody
    else's.
    """

    role_id: str

    async def init_memory(
        self,
        role_id: str,
        *,
        agent_id: str | None = None,
        summary_memory: str | None = None,
        memory_categories: Sequence[str] = (),
    ) -> None:
        """Say whose memory this is, which agent hears it, and what it wants of extraction.

        `summary_memory` is its instruction in words, `memory_categories` are the names under which memories are filed.
        """
        ...

    async def save_memory(
        self,
        messages: Sequence[AnyMessage],
        session_id: str | None = None,
        *,
        key: str | None = None,
        transaction: Any = None,
    ) -> None:
        """Accept messages durably: those of user and assistant, nothing else. The same `key` twice is saved once.

        `transaction` is an open psycopg AsyncConnection: the entry is then written in it and shares its fate.
        """
        ...

    async def query_memory(self, query: str) -> str:
        """What is known about the query as lines `[YYYY-MM-DD HH:MM:SS] text`, newest first; empty if nothing.

        What is only true until some day, or was, says so at its end: `text (until 2026-11-20)`. Each memory is one
        line, with `<`, `>` and `&` escaped, so that it stays a quotation inside any block. The query may wrap its
        speaker, as a message may.
        """
        ...

    async def recall(self, query: str, limit: int, deadline: float, *, speaker: str | None = None) -> list[Memory]:
        """The memories that fit the query, newest first, or none once `deadline` seconds have passed.

        `speaker` is who asks, if the voice is known; a query that wraps its speaker needs none. What came too late for
        its own question is among those of the next one.
        """
        ...

    async def close(self) -> None:
        """The session is over."""
        ...

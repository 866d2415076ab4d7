"""What is new in one conversation: read from its end backwards, until nothing older can be new.

Whole seconds are taken or left: Dify tells no smaller times, so a second that was taken in part could never be told
from one that was taken as a whole.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby

from .checkpoint import Mark
from .dify_api import DifyApi, Page
from .dify_errors import DifyAnswerError
from .dify_messages import DifyMessage
from .scan_report import ScanReport
from .spans import Stretch, spans_of
from .tokens import CountTokens

_SETTLED_S = 60  # what was said a moment ago may not be listed yet


@dataclass(frozen=True, slots=True)
class Conversation:
    """What of it is new, the oldest message first. `mark` is how far it was read, once these are remembered.

    `trimmed` counts new messages that were left out, since older than what fits; the mark leaves them out too.
    """

    id: str
    messages: tuple[DifyMessage, ...]
    mark: Mark
    tokens: int
    trimmed: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: from the first to the last second, no more than so many tokens and pages. `read_at` is now."""

    stretch: Stretch
    tokens: int
    pages: int
    read_at: int


class ConversationReader:
    """Of one user."""

    def __init__(self, api: DifyApi, user_id: str, wanted: Wanted, count: CountTokens, report: ScanReport) -> None:
        self._api = api
        self._user_id = user_id
        self._wanted = wanted
        self._count = count
        self._report = report

    async def read(self, conversation_id: str, mark: Mark) -> Conversation | None:
        """None where nothing is new."""
        walk = _Walk(self._wanted, mark, self._count)
        async with aclosing(self._pages(conversation_id)) as pages:
            async for page in pages:
                walk.take(page)
                if walk.is_done:
                    break
        report = self._report
        report.scanned_conversations += 1
        report.scanned_messages += walk.seen
        report.messages_in_time_range += walk.in_time
        report.dropped_future_messages += walk.future
        found = walk.found(conversation_id)
        if found is not None:
            report.conversations_with_messages += 1
            report.trimmed_messages += found.trimmed
        return found

    async def _pages(self, conversation_id: str) -> AsyncGenerator[Page[DifyMessage], None]:
        """From the newest on, each message once, as many pages as may be."""
        known: set[str] = set()
        first_id = ""
        for _ in range(self._wanted.pages):
            page = await self._api.messages(self._user_id, conversation_id, first_id)
            fresh = tuple(one for one in page.items if one.id not in known)
            if page.has_more and not fresh:
                raise DifyAnswerError("Dify answered with the same messages again and again")
            yield Page(fresh, page.has_more)
            if not page.has_more:
                return
            known.update(one.id for one in fresh)
            first_id = _oldest(page.items).id


class _Walk:
    """Backwards through one conversation: what was met, and whether anything older can be new."""

    def __init__(self, wanted: Wanted, mark: Mark, count: CountTokens) -> None:
        self.seen = self.in_time = self.future = 0
        self.is_done = False
        self._wanted = wanted
        self._mark = mark
        self._count = count
        self._new: list[DifyMessage] = []  # the oldest first
        self._tokens = 0
        self._reached = wanted.stretch.last + 1  # the oldest second that was met
        self._reached_all = False
        self._met_last = False

    def take(self, page: Page[DifyMessage]) -> None:
        stretch = self._wanted.stretch
        items = sorted(page.items, key=lambda one: one.created_at)
        self.seen += len(items)
        self.future += sum(one.created_at > stretch.last for one in items)
        self.in_time += sum(stretch.first <= one.created_at <= stretch.last for one in items)
        new = [one for one in self._behind_last(items) if self._is_new(one)]
        self._new[:0] = new
        self._tokens += sum(self._length(one) for one in new)
        if items:
            self._reached = min(self._reached, items[0].created_at)
        self._reached_all = not page.has_more or self._met_last or self._nothing_older()
        self.is_done = self._reached_all or (self._tokens > self._wanted.tokens and self._has_a_second())

    def found(self, conversation_id: str) -> Conversation | None:
        """The newest that fit, and at least those of one second. Of a second that was not met as a whole, nothing."""
        kept, tokens = self._newest()
        if not kept:
            return None
        last = max(kept[-1].created_at, min(self._wanted.stretch.last, self._wanted.read_at - _SETTLED_S))
        read = Mark(self._last_id(kept[-1]), spans_of([Stretch(self._begin(kept), last)]))
        mark = self._mark.joined(read)
        return Conversation(conversation_id, tuple(kept), mark, tokens, len(self._new) - len(kept))

    def _is_new(self, message: DifyMessage) -> bool:
        stretch, second = self._wanted.stretch, message.created_at
        is_wanted = stretch.first <= second <= stretch.last and not self._mark.read.has(second)
        return is_wanted and bool(message.texts)

    def _behind_last(self, items: Sequence[DifyMessage]) -> Sequence[DifyMessage]:
        """A very old checkpoint names the last message that was taken, and nothing else."""
        if self._mark.read.stretches or not self._mark.last_message_id:
            return items
        ids = [one.id for one in items]
        if self._mark.last_message_id not in ids:
            return items
        self._met_last = True
        return items[ids.index(self._mark.last_message_id) + 1 :]

    def _nothing_older(self) -> bool:
        first = self._wanted.stretch.first
        return self._reached < first or self._mark.read.cover(Stretch(first, self._reached))

    def _has_a_second(self) -> bool:
        """The newest second with something new was met as a whole."""
        return bool(self._new) and self._new[-1].created_at > self._reached

    def _last_id(self, newest: DifyMessage) -> str:
        """Nothing where a newer one is known."""
        known = self._mark.read.newest
        return newest.id if known is None or newest.created_at > known.last else ""

    def _newest(self) -> tuple[list[DifyMessage], int]:
        kept: list[DifyMessage] = []
        used = 0
        for second in _seconds(self._new):
            length = sum(self._length(one) for one in second)
            is_partial = not self._reached_all and second[0].created_at == self._reached
            if is_partial or (kept and used + length > self._wanted.tokens):
                break
            kept[:0] = second
            used += length
        return kept, used

    def _begin(self, kept: Sequence[DifyMessage]) -> int:
        """From where on everything is read now."""
        if len(kept) < len(self._new) or not self._reached_all:
            return kept[0].created_at
        return 0 if self._met_last else self._wanted.stretch.first

    def _length(self, message: DifyMessage) -> int:
        return sum(map(self._count, message.texts))


def _oldest(items: Sequence[DifyMessage]) -> DifyMessage:
    """Dify's pages are ascending. One that is not is walked in its own direction."""
    return items[0] if items[0].created_at <= items[-1].created_at else items[-1]


def _seconds(messages: Sequence[DifyMessage]) -> Iterator[list[DifyMessage]]:
    """What belongs to one second, the newest second first."""
    for _, group in groupby(reversed(messages), key=lambda one: one.created_at):
        yield list(reversed(list(group)))

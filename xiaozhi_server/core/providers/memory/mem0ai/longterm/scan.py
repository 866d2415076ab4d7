"""What of a user's talks with a Dify app is new: one conversation after the other, the one last used first.

A conversation that went on after the window's end is read all the same: what was said within the window counts.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from .checkpoint import Checkpoint, Resume
from .dify_api import DifyApi
from .dify_errors import DifyError, DifyRefusedError, DifyUnknownError
from .dify_messages import DifyConversation
from .list_conversations import ConversationList
from .read_conversation import Conversation, ConversationReader, Wanted
from .scan_report import ScanReport
from .spans import Stretch
from .tokens import CountTokens
from .window import Window

__all__ = ["Conversation", "Scan", "ScanLimits", "ScanReport"]

_FAILURES_IN_A_ROW = 3  # then it is not the conversations


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """Conversations with something new; tokens of each; pages of each."""

    conversations: int = 20
    tokens: int = 64_000
    pages: int = 200


class Scan:
    """One run over one user. `report` and `resume` are complete once `conversations` has come to its end.

    `resume` belongs into the checkpoint then, be it None. What was not remembered after all must not be marked: it
    comes again in another run, whatever `resume` says.
    """

    def __init__(
        self,
        api: DifyApi,
        user_id: str,
        window: Window,
        checkpoint: Checkpoint,
        count_tokens: CountTokens,
        limits: ScanLimits | None = None,
        *,
        read_at: datetime | None = None,
    ) -> None:
        limits = limits or ScanLimits()
        self.report = ScanReport()
        self.resume: Resume | None = None
        self._window = window
        self._checkpoint = checkpoint
        self._most = limits.conversations
        self._stretch = Stretch(window.first_second, window.last_second)
        now = int((read_at or datetime.now(UTC)).timestamp())
        wanted = Wanted(self._stretch, limits.tokens, limits.pages, now)
        self._reader = ConversationReader(api, user_id, wanted, count_tokens, self.report)
        self._list = ConversationList(api, user_id, self._stretch.first)
        self._failures = 0

    async def conversations(self) -> AsyncGenerator[Conversation, None]:
        """Those with something new. A DifyError where they cannot be listed, or the key is refused."""
        async with aclosing(self._list.behind(self._begin())) as listed:
            async for one in listed:
                if not self._may_be_new(one.conversation):
                    continue
                if self.report.conversations_with_messages >= self._most:
                    self._break_off(one.before)
                    return
                conversation = await self._read(one.conversation.id)
                if self._failures >= _FAILURES_IN_A_ROW:
                    break
                if conversation is not None:
                    yield conversation
        self.report.stop_reason = "no_more_conversations" if self._list.ended else "completed"
        if self.report.errors:
            self.report.stop_reason = "conversation_failed"

    def _begin(self) -> str:
        resume = self._checkpoint.resume
        return resume.conversation_id if resume is not None and resume.fits(self._window) else ""

    def _may_be_new(self, conversation: DifyConversation) -> bool:
        """A time that Dify does not tell may be any."""
        if 0 < conversation.updated_at < self._stretch.first or conversation.created_at > self._stretch.last:
            return False
        return not self._checkpoint.of(conversation.id).read.cover(self._stretch)

    def _break_off(self, before: str) -> None:
        self.report.stop_reason = "max_conversations_reached"
        self.resume = Resume(before, self._window.end, self._window.start) if before else None

    async def _read(self, id: str) -> Conversation | None:
        try:
            found = await self._reader.read(id, self._checkpoint.of(id))
        except DifyUnknownError:  # deleted since it was listed
            return None
        except DifyRefusedError:
            raise
        except DifyError as error:
            self._failures += 1
            self.report.errors.append({"type": "dify_error", "message": str(error), "conversation_id": id})
            return None
        self._failures = 0
        return found

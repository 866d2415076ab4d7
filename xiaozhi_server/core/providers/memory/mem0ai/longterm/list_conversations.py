"""The conversations of a user, the one last used first, each once.

While pages are turned conversations move to the front, over the place where the walk is; so where there was more than
one page, the front is looked at again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from .dify_api import DifyApi, Page
from .dify_errors import DifyAnswerError, DifyRejectedError, DifyUnknownError
from .dify_messages import DifyConversation

_RESTARTS = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """`before` is the id that stands before it in the list, the place from which it is found again."""

    conversation: DifyConversation
    before: str


class ConversationList:
    """`ended`: the list came to its end, not only to conversations that were last used before `since`."""

    def __init__(self, api: DifyApi, user_id: str, since: int) -> None:
        self.ended = False
        self._api = api
        self._user_id = user_id
        self._since = since
        self._known: set[str] = set()
        self._turned = 0
        self._restarts = 0

    async def behind(self, last_id: str) -> AsyncGenerator[Listed, None]:
        """Those behind this one first, then those before it; all of them where it is empty."""
        async with aclosing(self._walk(last_id, is_second_look=False)) as found:
            async for one in found:
                yield one
        if last_id or self._turned > 1:
            async with aclosing(self._walk("", is_second_look=True)) as found:
                async for one in found:
                    yield one

    async def _walk(self, last_id: str, *, is_second_look: bool) -> AsyncGenerator[Listed, None]:
        fruitful = fruitless = 0
        while True:
            page = await self._page(last_id)
            if page is None:
                last_id = ""
                continue
            fresh = self._fresh(page, last_id)
            for one in fresh:
                yield one
            if self._is_last(page) or (is_second_look and not fresh):
                return
            fruitful, fruitless = (fruitful + 1, 0) if fresh else (fruitful, fruitless + 1)
            # Behind one that has moved to the front everything comes once more, but not for ever.
            if fruitless > _RESTARTS * (fruitful + 1):
                raise DifyAnswerError("Dify answered with the same conversations again and again")
            last_id = page.items[-1].id

    async def _page(self, last_id: str) -> Page[DifyConversation] | None:
        """None where the conversation that it is asked behind is gone, or never was one."""
        self._turned += 1
        try:
            return await self._api.conversations(self._user_id, last_id)
        except (DifyUnknownError, DifyRejectedError):
            self._restarts += 1
            if not last_id or self._restarts > _RESTARTS:
                raise
            return None

    def _fresh(self, page: Page[DifyConversation], before: str) -> list[Listed]:
        fresh = []
        for one in page.items:
            if one.id not in self._known:
                self._known.add(one.id)
                fresh.append(Listed(one, before))
            before = one.id
        return fresh

    def _is_last(self, page: Page[DifyConversation]) -> bool:
        if not page.has_more:
            self.ended = True
            return True
        return 0 < page.items[-1].updated_at < self._since

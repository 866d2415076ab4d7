"""Hands what was said to the platform and waits for what comes of it; what has a key becomes memories once."""

import asyncio
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...base import SpokenMessage
from .api import PlatformApi
from .errors import ExtractionFailedError, PlatformError, StillPendingError, UnknownEventError
from .options import PlatformOptions
from .sent_file import Sent, SentFile

_NAMESPACE = uuid.UUID("5f0c9a53-0c38-4b0f-9d0a-c4c1c9b6d1a7")
_FOUND = "found"  # in place of an event whose name was lost
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be remembered, of whom, and what we attach to it. `instruction`: what the platform shall look for."""

    messages: Sequence[SpokenMessage]
    user_id: str
    metadata: Mapping[str, Any]
    infer: bool
    instruction: str


class Sending:
    def __init__(self, api: PlatformApi, sent: SentFile, options: PlatformOptions) -> None:
        self._api = api
        self._sent = sent
        self._options = options

    async def send(self, told: Told, key: str | None) -> Sequence[Any]:
        """What the platform tells of what came of it; a PlatformError where nobody knows that yet.

        Whoever sends the same again under its key then learns what became of it, or sends it where nothing did.
        """
        if key is None:
            return await self._outcome(await self._hand_over(told, {}), math.inf)  # nobody could ask for it again
        earlier = await self._sent.find(told.user_id, key)
        if earlier is not None:
            found = await self._came_of(told.user_id, key, earlier)
            if found is not None:
                return found
        return await self._begun(told, key)

    async def _begun(self, told: Told, key: str) -> Sequence[Any]:
        send_id = str(uuid.uuid5(_NAMESPACE, f"{told.user_id}\n{key}"))
        await self._sent.begin(told.user_id, key, send_id)
        try:
            event_id = await self._hand_over(told, {"send_id": send_id})
        except PlatformError as error:
            if not error.may_have_worked:
                await self._sent.unsent(told.user_id, key)
            raise
        await self._sent.accepted(told.user_id, key, event_id)
        return await self._finished(told.user_id, key, event_id)

    async def _came_of(self, user_id: str, key: str, earlier: Sent) -> Sequence[Any] | None:
        """None where it is to be sent again."""
        if earlier.event_id and earlier.event_id != _FOUND:
            try:
                return await self._finished(user_id, key, earlier.event_id)
            except ExtractionFailedError:
                return None
            except UnknownEventError:
                pass
        found = [{"id": id} for id, _ in await self._api.sent(user_id, earlier.send_id)]
        if found and not earlier.event_id:
            await self._sent.accepted(user_id, key, _FOUND)
        if found or earlier.event_id == _FOUND:
            return found  # what came of it and is gone again shall not come back
        if earlier.event_id:
            return None
        if earlier.age_s < self._options.unsure_s:
            raise StillPendingError("its answer was lost: it may still have its effect")
        return None

    async def _finished(self, user_id: str, key: str, event_id: str) -> Sequence[Any]:
        try:
            return await self._outcome(event_id, self._options.event_timeout_s)
        except ExtractionFailedError:
            await self._sent.unsent(user_id, key)
            raise

    async def _hand_over(self, told: Told, marks: Mapping[str, str]) -> str:
        return await self._api.add(
            told.messages,
            user_id=told.user_id,
            metadata={**told.metadata, **marks},
            said_at=told.messages[-1].spoken_at,
            instruction=told.instruction,
            infer=told.infer,
        )

    async def _outcome(self, event_id: str, patience_s: float) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        ends_at, looks = loop.time() + patience_s, 0
        while True:
            status, results = await self._api.outcome(event_id)
            if status == "succeeded":
                return results
            if status == "failed":
                raise ExtractionFailedError("the platform could not make memories of it")
            if loop.time() >= ends_at:
                raise StillPendingError("the platform is not done with it yet")
            await asyncio.sleep(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
            looks += 1

"""Pictures become words before anything else is done with what was said: one model call for each, made once."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from psycopg import AsyncConnection

from ...base import SpokenMessage
from ..images import IMAGE, described
from .outbox import Batch, OutboxEntry
from .saver import BatchPolicy, Saver

logger = logging.getLogger(__name__)

Prepared = TypeVar("Prepared")

_KEPT = 256  # descriptions of batches whose other steps have failed so far


class DescriptionFailedError(RuntimeError):
    """The model was asked and gave nothing that can be used. Never quotes it."""


class Describer(Protocol):
    """A model that sees. `attempts`: so often a picture is tried before it is given up."""

    timeout_s: float
    attempts: int

    async def describe(self, image: str, beside: str) -> str:
        """What is in the picture at this address, in the language of what was said `beside` it.

        DescriptionFailedError or TimeoutError where the model is to blame.
        """
        ...


class DescribingSaver(Generic[Prepared]):
    """Stands in front of another saver. A picture that was tried often enough in vain is left to that as it is: a mark
    in the text, and an address in `images`.
    """

    def __init__(self, inner: Saver[Prepared], describer: Describer) -> None:
        self.policy = _longer(inner.policy, describer.timeout_s)
        self._inner = inner
        self._describer = describer
        self._kept: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    async def prepare(self, batches: Sequence[Batch]) -> list[tuple[Batch, Prepared]]:
        words = [await self._in_words(batch) for batch in batches]
        return list(zip(words, await self._inner.prepare(words), strict=True))

    async def write(
        self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Sequence[tuple[Batch, Prepared]]
    ) -> None:
        await self._inner.write(connection, [batch for batch, _ in prepared], [result for _, result in prepared])

    def written(self, batches: Sequence[Batch]) -> None:
        self._inner.written(batches)
        for batch in batches:
            for entry in batch:
                for message in entry.messages:
                    for image in message.images:
                        self._kept.pop((entry.user_id, entry.key, image), None)

    async def _in_words(self, batch: Batch) -> Batch:
        try:
            return tuple([await self._entry(entry) for entry in batch])
        except (DescriptionFailedError, TimeoutError) as error:
            if batch[0].attempts < self._describer.attempts:
                raise
            logger.warning("memory: a picture was not described (%s): it is kept as one", type(error).__name__)
            return batch

    async def _entry(self, entry: OutboxEntry) -> OutboxEntry:
        if not any(message.images for message in entry.messages):
            return entry
        messages = [await self._message(entry, message) for message in entry.messages]
        return replace(entry, messages=tuple(messages))

    async def _message(self, entry: OutboxEntry, message: SpokenMessage) -> SpokenMessage:
        texts = [await self._described(entry, message, image) for image in message.images]
        return described(message, texts) if texts else message

    async def _described(self, entry: OutboxEntry, message: SpokenMessage, image: str) -> str:
        key = (entry.user_id, entry.key, image)
        if key not in self._kept:
            self._kept[key] = await self._describer.describe(image, said_beside(entry.messages, message))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]


async def in_words(describer: Describer | None, messages: Sequence[SpokenMessage]) -> list[SpokenMessage]:
    """The same for messages that somebody waits for."""
    if describer is None:
        return list(messages)
    sees = describer

    async def one(message: SpokenMessage) -> SpokenMessage:
        texts = [await sees.describe(image, said_beside(messages, message)) for image in message.images]
        return described(message, texts) if texts else message

    return list(await asyncio.gather(*map(one, messages)))


def said_beside(messages: Sequence[SpokenMessage], message: SpokenMessage) -> str:
    """What tells the language: the words of the message itself, else those of the others."""
    own, *others = ("\n".join(_words(one) for one in part).strip() for part in ([message], messages))
    return own or others[0]


def _words(message: SpokenMessage) -> str:
    return message.content.replace(IMAGE, " ").strip()


def _longer(policy: BatchPolicy | None, more_s: float) -> BatchPolicy | None:
    return None if policy is None else replace(policy, timeout_s=policy.timeout_s + more_s)

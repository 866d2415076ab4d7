"""A saver that wants whole conversations: it notes each batch it gets and keeps its texts word for word."""

import asyncio
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from xiaozhi_server.core.providers.memory.mem0ai.saving.outbox import Batch
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy
from xiaozhi_server.core.providers.memory.mem0ai.saving.verbatim import VerbatimSaver


class GatheringSaver:
    """Fails on a batch with a text that contains `poison`; one with `tar` hangs until `released` is set."""

    def __init__(self, verbatim: VerbatimSaver, policy: BatchPolicy, *, poison: str = "\0", tar: str = "\0") -> None:
        self.policy: BatchPolicy | None = policy
        self.poison = poison
        self.tar = tar
        self.batches: list[list[str]] = []
        self.instructions: list[str] = []
        self.came = asyncio.Condition()
        self.released = asyncio.Event()
        self._verbatim = verbatim

    async def prepare(self, batches: Sequence[Batch]) -> Any:
        (batch,) = batches
        texts = texts_of(batch)
        self.batches.append(texts)
        self.instructions.extend(entry.wishes.instruction for entry in batch)
        async with self.came:
            self.came.notify_all()
        if any(self.poison in text for text in texts):
            raise ValueError("poison")
        if any(self.tar in text for text in texts):
            await self.released.wait()
        return await self._verbatim.prepare(batches)

    async def write(self, connection: AsyncConnection[Any], batches: Sequence[Batch], prepared: Any) -> None:
        await self._verbatim.write(connection, batches, prepared)

    def written(self, batches: Sequence[Batch]) -> None:
        self._verbatim.written(batches)

    async def has_got(self, count: int, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s), self.came:
            await self.came.wait_for(lambda: len(self.batches) >= count)


def texts_of(batch: Batch) -> list[str]:
    return [message.content for entry in batch for message in entry.messages]

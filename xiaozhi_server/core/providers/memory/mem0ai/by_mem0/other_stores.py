"""The engine on another of mem0's vector stores: the same calls and the same ranking, as far as the store can follow.

What is accepted waits in our outbox, and what became of a memory stands in our history; both need PostgreSQL.
"""

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ...base import AnyMessage
from ...migrate import apply_migrations
from .. import checks
from ..embedding.embed import Embedder
from ..engine import LEDGER, EngineOptions
from ..forgotten import Forgotten
from ..observe import MemoryObserver, NoObserver
from ..saving.describing import Describer, DescribingSaver
from ..saving.intake import Intake, IntakeOptions
from ..saving.outbox import DeadLetter, OutboxDepth
from ..saving.saver import Saver
from ..scope import Scope
from ..sharing import shares
from ..sharing.shares import AuditLine, Share
from ..statements import MIGRATIONS
from ..transfer import person as persons
from ..wishes import Wishes
from .beside_postgres import PostgresBeside
from .extract_by_mem0 import ExtractionOptions, Extractor
from .other_memories import OtherMemories
from .other_store import MOST_LISTED, OtherStore
from .rerank import Reranker

logger = logging.getLogger(__name__)

Pool = AsyncConnectionPool[Any]


class OtherStoreEngine(OtherMemories):
    """The pool, the embedder and the store belong to the caller, who also closes them."""

    def __init__(
        self,
        pool: Pool,
        embedder: Embedder,
        store: OtherStore,
        options: EngineOptions | None = None,
        *,
        extractor: Extractor | None = None,
        extraction: ExtractionOptions | None = None,
        reranker: Reranker | None = None,
        observer: MemoryObserver | None = None,
        describer: Describer | None = None,
    ) -> None:
        chosen = options or EngineOptions()
        self.observer = observer or NoObserver()
        self.forgotten = Forgotten()
        self._pool = pool
        beside = PostgresBeside(pool, timeout_s=chosen.database_timeout_s)
        super().__init__(
            beside,
            embedder,
            store,
            chosen,
            self.observer,
            extractor=extractor,
            extraction=extraction,
            reranker=reranker,
            describer=describer,
        )
        self._shares = shares.Shares(beside.connection)
        limits = IntakeOptions(
            chosen.drain, chosen.unsaved_limit, chosen.database_timeout_s, sees=describer is not None
        )
        self._intake = Intake(pool, limits, self.observer)

    async def start(self, *, work: bool = True) -> None:
        """Without `work` nothing goes on in the background: that is for a short command beside a server."""
        async with self._pool.connection() as connection:
            await apply_migrations(connection, MIGRATIONS, ledger=LEDGER)
        self._saver.search_by(self._searcher.search)
        if work:
            saver: Saver[Any] = self._saver
            self._intake.start(saver if self._describer is None else DescribingSaver(saver, self._describer))
        logger.info("memory: kept in %s, which lacks: %s", self.store.provider, "; ".join(self.lacks))

    async def stop(self, deadline_s: float) -> None:
        await self._intake.stop(deadline_s)
        await self._searcher.close()

    async def enqueue(
        self,
        messages: Sequence[AnyMessage],
        *,
        user_id: str,
        agent_id: str | None = None,
        session_id: str | None = None,
        key: str | None = None,
        transaction: Any = None,
        instruction: Wishes | str | None = None,
    ) -> bool:
        return await self._intake.enqueue(
            messages,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            key=key,
            transaction=transaction,
            instruction=instruction,
        )

    async def forget(self, *, user_id: str) -> int:
        """Leave nothing of a person, no history either. Returns how many memories there were."""
        person = Scope(user_id).user_id
        # First what waits, so that nobody saves it meanwhile; at last what the deletions left in the history.
        removed = await persons.forget(self._pool.connection, person)
        # Where the store is in our database its rows are gone with ours.
        count = sum(rows for name, rows in removed.items() if not name.startswith("memory_"))
        count += await self.delete_all(user_id=person)
        await self.store.delete(await self.store.internal(Scope(person), limit=MOST_LISTED))
        await self._extraction.forget(person)
        await persons.forget(self._pool.connection, person)
        self.forgotten.forget(person)
        return count

    async def present(
        self,
        ids: Sequence[uuid.UUID],
        *,
        user_id: str,
        agent_id: str | None = None,
        also_agents: Sequence[str] = (),
        replaced: Sequence[uuid.UUID] = (),
    ) -> set[uuid.UUID]:
        asked = Scope(user_id, agent_id, None, tuple(also_agents), shared=True)
        scope = await self._beside.reach(asked)
        found = await asyncio.gather(*(self.store.get(scope, id) for id in ids))
        return {memory.id for memory in found if memory is not None}

    async def share(self, *, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        return await self._shares.grant(user_id, agent_id, from_agent, done_by)

    async def unshare(self, *, user_id: str, agent_id: str, from_agent: str, done_by: str) -> bool:
        return await self._shares.revoke(user_id, agent_id, from_agent, done_by)

    async def shares(self, *, user_id: str, agent_id: str | None = None) -> list[Share]:
        return await self._shares.all_of(Scope(user_id, agent_id))

    async def audit(self, *, user_id: str, limit: int = 100) -> list[AuditLine]:
        return await self._shares.audit(Scope(user_id).user_id, limit=checks.checked_limit(limit, MOST_LISTED))

    async def end_session(self, session_id: str, *, user_id: str) -> None:
        await self._intake.end_session(session_id, user_id=user_id)

    async def depth(self) -> OutboxDepth:
        return await self._intake.depth()

    async def dead_letters(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadLetter]:
        return await self._intake.dead_letters(user_id, limit=limit)

    async def replay(self, user_id: str | None = None, *, key: str | None = None) -> int:
        return await self._intake.replay(user_id, key=key)

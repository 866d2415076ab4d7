"""The daily step that lets go what has faded, where agents want that, and everywhere what ran out long ago."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ..daily.maintenance import Work
from .prune import PruneWatch, Whose, prune


class Forgetting:
    name = "forget"

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        changed: Callable[[str], None],
        note_recalls: Callable[[], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._changed = changed
        self._note_recalls = note_recalls

    async def run(self, work: Work) -> Mapping[str, int]:
        await self._note_recalls()
        watch = PruneWatch(changed=self._changed, pause=work.pause)
        result = await prune(self._pool, Whose(rules=work.rules), work.now, dry_run=False, watch=watch)
        return {"retained": result.retained_count, "deleted": result.deleted_count, **result.reasons}

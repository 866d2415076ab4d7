"""The daily step that lets go what has faded, where agents want that, and everywhere what ran out long ago."""

from collections.abc import Callable, Mapping
from typing import Any

from psycopg_pool import AsyncConnectionPool

from ..daily.maintenance import Work
from .prune import PruneWatch, Whose, prune


class Forgetting:
    name = "forget"

    def __init__(self, pool: AsyncConnectionPool[Any], changed: Callable[[str], None]) -> None:
        self._pool = pool
        self._changed = changed

    async def run(self, work: Work) -> Mapping[str, int]:
        watch = PruneWatch(changed=self._changed, pause=work.pause)
        result = await prune(self._pool, Whose(rules=work.rules), work.now, dry_run=False, watch=watch)
        return {"retained": result.retained_count, "deleted": result.deleted_count, **result.reasons}

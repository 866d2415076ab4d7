"""The daily step that summarises, where agents want that and there is a model."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from ...base import MemoryRules
from ..daily.maintenance import Work
from .candidates import CompressRule
from .compress import CompressResult, CompressWatch

# The engine's: it knows where the rows are and whom to ask.
Compress = Callable[[Mapping[str, CompressRule], datetime, CompressWatch], Awaitable[CompressResult]]


class Compressing:
    name = "compress"

    def __init__(self, compress: Compress, changed: Callable[[str], None]) -> None:
        self._compress = compress
        self._changed = changed

    async def run(self, work: Work) -> Mapping[str, int]:
        rules = {agent_id: rule for agent_id, found in work.rules.items() if (rule := _rule(found)) is not None}
        if not rules:
            return {}
        result = await self._compress(rules, work.now, CompressWatch(changed=self._changed, pause=work.pause))
        told = {"summaries": result.summaries, "compressed": result.compressed, "failed": result.failed}
        return told | {f"refused_{why}": count for why, count in result.refused.items()}


def _rule(rules: MemoryRules) -> CompressRule | None:
    days = rules.compress_after_days
    return None if days is None else CompressRule(days, rules.compress_verbatim)

"""Who goes: all memories of an owner, or of everybody, judged page by page, and those deleted that have faded."""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool

from ...base import MemoryRules
from ..statements import composed, statement
from . import retention
from .retention import RetentionInfo, Trace, retention_info

Pool = AsyncConnectionPool[Any]

SHOWN_MAX = 1000
_PAGE = 1000
_EXPIRED_KEPT = timedelta(days=30)  # so long somebody may still look at what has run out
_FIRST = uuid.UUID(int=0)
_KEYS_OF_ALL = "(user_id, id) > (%(after_user)s, %(after_id)s)"
_KEYS_OF_ONE = "user_id = %(user_id)s AND id > %(after_id)s"


@dataclass(frozen=True, slots=True)
class Whose:
    """Which memories are judged, and by what: by their agents' rules, or (`everybody`) by one rule for all of them."""

    user_id: str | None = None
    agent_id: str | None = None
    rules: Mapping[str, MemoryRules] = field(default_factory=dict)
    everybody: MemoryRules | None = None


@dataclass(frozen=True, slots=True)
class WouldDelete:
    """`why`: faded, too_old, expired; or summarised, where the summary that stands for it goes."""

    id: uuid.UUID
    user_id: str
    memory: str
    why: str
    retention_info: RetentionInfo


@dataclass(frozen=True, slots=True)
class PruneResult:
    """`would_delete` shows the first ones of a dry run; `deleted_count` is how many there are. `recently_recalled` ones
    have faded and were kept because they were used lately. `is_partial`: not all could be judged.
    """

    deleted_count: int
    retained_count: int
    dry_run: bool
    reasons: Mapping[str, int]
    would_delete: tuple[WouldDelete, ...] = ()
    recently_recalled: int = 0
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class PruneWatch:
    """Told after each page: how many are judged, and whose memories have changed. `pause` lets others work."""

    progress: Callable[[int], None] = lambda judged: None
    changed: Callable[[str], None] = lambda user_id: None
    pause: Callable[[], Awaitable[None]] | None = None


async def prune(pool: Pool, whose: Whose, now: datetime, *, dry_run: bool, watch: PruneWatch) -> PruneResult:
    """Each page is a transaction of its own: broken off at any time, the next run goes on with what is left."""
    judge = _Judge(whose, now)
    judged = gone = spared = 0
    reasons: Counter[str] = Counter()
    shown: list[WouldDelete] = []
    while not judge.is_done:
        async with pool.connection() as connection, connection.transaction():
            page = await judge.page(connection, dry_run=dry_run, shown=SHOWN_MAX - len(shown))
        judged += page["judged"]
        gone += page["gone"]
        spared += page["spared"]
        reasons.update(page["reasons"])
        shown += [_would_delete(one, now) for one in page.get("shown", ())]
        for user_id in page.get("owners", ()):
            watch.changed(user_id)
        watch.progress(judged)
        if watch.pause is not None:
            await watch.pause()
    return PruneResult(gone, judged - gone, dry_run, dict(reasons), tuple(shown), spared)


async def count(pool: Pool, whose: Whose) -> int:
    """How many are to be judged."""
    parameters = {"user_id": whose.user_id, "agent_id": whose.agent_id}
    async with pool.connection() as connection:
        (row,) = await _rows(connection, statement("prune_count"), parameters)
    return int(row["memories"])


class _Judge:
    """Goes through the pages, from the first key on."""

    def __init__(self, whose: Whose, now: datetime) -> None:
        self.is_done = False
        rules = whose.rules if whose.everybody is None else {"": whose.everybody}
        self._parts = {
            "place": _KEYS_OF_ALL if whose.user_id is None else _KEYS_OF_ONE,
            "rule_of": "entry.agent_id" if whose.everybody is None else "''",
        }
        self._parameters: dict[str, Any] = {
            "user_id": whose.user_id,
            "agent_id": whose.agent_id,
            "after_user": "",
            "after_id": _FIRST,
            "page": _PAGE,
            "now": now,
            "earliest": retention.EARLIEST,
            "used_since": now - timedelta(days=retention.KEPT_AFTER_USE_DAYS),
            "expired_before": now - _EXPIRED_KEPT,
            "theta": retention.FORGET_THETA,
            "g": retention.FORGET_G,
            "n_max": retention.FORGET_N_MAX,
            "s0": retention.FORGET_S0,
            "s0_by_subtype": Json(dict(retention.FORGET_S0_BY_SUBTYPE)),
            "rule_agents": list(rules),
            "rule_forget": [rule.forget for rule in rules.values()],
            "rule_ttl_days": [rule.ttl_days for rule in rules.values()],
        }

    async def page(self, connection: AsyncConnection[Any], *, dry_run: bool, shown: int) -> DictRow:
        judged = composed("prune_page", **self._parts).decode()
        query = composed("prune_show" if dry_run else "prune_delete", page=judged)
        (page,) = await _rows(connection, query, self._parameters | {"shown": shown})
        if not dry_run and page["owners"]:
            await connection.execute(statement("thing_orphans"), {"owners": page["owners"]})
        if page["seen"] < _PAGE:
            self.is_done = True
        else:
            user_id, id = page["last"]
            self._parameters |= {"after_user": user_id, "after_id": uuid.UUID(id)}
        return page


async def _rows(connection: AsyncConnection[Any], query: bytes, parameters: Mapping[str, Any]) -> list[DictRow]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


def _would_delete(row: Mapping[str, Any], now: datetime) -> WouldDelete:
    info = retention_info(
        now,
        _moment(row["created_at"]),
        Trace(_moment(row["accessed_at"]), row["access_count"], row["quality"]),
        subtype=row["subtype"],
        flag=row["flag"],
        fades=bool(row["forget"]),
        used_at=_moment(row["used_at"]),
        ttl_days=row["ttl_days"],
    )
    return WouldDelete(uuid.UUID(row["id"]), row["user_id"], row["text"], row["why"] or "summarised", info)


def _moment(text: str | None) -> datetime | None:
    """None for a time that Python has no number for."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None

"""What agents want done with their memories, as it lies in the table of agents."""

from dataclasses import asdict
from typing import Any

from loguru import logger
from psycopg.rows import dict_row
from psycopg.types.json import Json
from pydantic import TypeAdapter, ValidationError

from ..core.providers.memory.base import MemoryRules
from .database import Database

_RULES: TypeAdapter[MemoryRules] = TypeAdapter(MemoryRules)
_ANSWER_TIMEOUT_S = 10.0


def written(rules: MemoryRules) -> Json:
    """Only what is said: an agent without any rule has an empty object."""
    nothing = asdict(MemoryRules())
    return Json({name: value for name, value in asdict(rules).items() if value != nothing[name]})


def read(agent_id: str, kept: Any) -> MemoryRules:
    """Rules that cannot be understood are none: nothing is lost by a mistake."""
    try:
        return _RULES.validate_python(kept)
    except ValidationError:
        logger.warning("agent {}: its memory_rules cannot be understood and are left out", agent_id)
        return MemoryRules()


async def memory_rules(database: Database) -> dict[str, MemoryRules]:
    """Of all agents that have any."""
    async with database.transaction(_ANSWER_TIMEOUT_S) as connection:
        cursor = connection.cursor(row_factory=dict_row)
        await cursor.execute("SELECT id, memory_rules FROM agent WHERE memory_rules <> '{}'")
        rows = await cursor.fetchall()
    return {row["id"]: read(row["id"], row["memory_rules"]) for row in rows}

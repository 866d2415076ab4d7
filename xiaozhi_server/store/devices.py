"""Which agent answers a device and whose memory its household is, as the database says. No wire, no turn."""

from collections import OrderedDict
from dataclasses import asdict
from typing import Any

from loguru import logger
from psycopg import Error
from psycopg.rows import dict_row

from ..core.ports import AgentProfile, Binding, DeviceContact
from . import memory_rules
from .database import Database
from .queries import query
from .text import storable

_ANSWER_TIMEOUT_S = 1.0
# Somebody waits for an answer, and what is remembered of a device is mostly still right.
_KNOWN_TIMEOUT_S = 0.25
_REMEMBERED = 10_000
_WIDTHS = {"client_id": 128, "board": 128, "user_agent": 255, "language": 35}


class DeviceDirectory:
    """An AgentDirectory. What it once knew of a device it still knows while the database does not answer.

    Of a device that it never saw it says nothing then, but raises: a guess could land in a wrong household.
    """

    def __init__(self, database: Database, default_agent: AgentProfile) -> None:
        self._database = database
        self._default_agent = default_agent
        self._remembered: OrderedDict[str, Binding] = OrderedDict()

    async def start(self) -> None:
        """Write the agent of the configuration into the database."""
        async with self._database.transaction(_ANSWER_TIMEOUT_S * 10) as connection:
            await connection.execute(query("keep_default_agent"), self._as_row())

    async def resolve(self, contact: DeviceContact) -> Binding:
        try:
            binding = await self._look_up(contact)
        except (Error, TimeoutError) as error:
            known = self._remembered.get(contact.device_id)
            if known is None:
                raise
            logger.warning("the database does not say who answers this device: {}", type(error).__name__)
            return known
        self._remember(binding)
        return binding

    async def _look_up(self, contact: DeviceContact) -> Binding:
        parameters = {name: value and storable(value, _WIDTHS.get(name, 64)) for name, value in asdict(contact).items()}
        timeout_s = _KNOWN_TIMEOUT_S if contact.device_id in self._remembered else _ANSWER_TIMEOUT_S
        async with self._database.transaction(timeout_s) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(query("greet_device"), parameters | {"default_agent_id": self._default_agent.id})
            row = await cursor.fetchone()
        return self._binding(contact.device_id, row)

    def _binding(self, device_id: str, row: dict[str, Any] | None) -> Binding:
        if row is None:  # somebody deleted the default agent while we run
            return Binding(device_id, f"device:{device_id}", self._default_agent)
        account_id, device_language = row.pop("account_id"), row.pop("device_language")
        owner_id = f"device:{device_id}" if account_id is None else f"account:{account_id}"
        row["memory_rules"] = memory_rules.read(row["id"], row["memory_rules"])
        return Binding(device_id, owner_id, AgentProfile(**row), device_language)

    def _as_row(self) -> dict[str, Any]:
        agent = self._default_agent
        return {**asdict(agent), "memory_rules": memory_rules.written(agent.memory_rules)}

    def _remember(self, binding: Binding) -> None:
        self._remembered[binding.device_id] = binding
        self._remembered.move_to_end(binding.device_id)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

"""Whose device id is whose, as the database says: for the gate, and for the person who pairs and revokes."""

import hmac
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loguru import logger
from psycopg import Error
from psycopg.rows import class_row

from ..core.gate import Pairing, PairingsUnavailableError, Pass, Standing
from .database import Database
from .queries import query
from .text import storable

_ANSWER_TIMEOUT_S = 1.0
_REMEMBERED = 10_000
_CLIENT_ID_CHARS = 128


@dataclass(frozen=True, slots=True)
class _Access:
    client_id: str | None
    token_generation: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A row of `devices list`."""

    id: str
    client_id: str | None
    revoked: bool
    board: str | None
    firmware_version: str | None
    last_seen_at: datetime


class PairingStore:
    """Implements `Pairings`. Devices it once knew it knows while the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: OrderedDict[str, _Access] = OrderedDict()

    async def start(self) -> None:
        """Learn who is paired, so that a database that goes away locks out nobody who was here before."""
        statement = (
            "SELECT id, client_id, token_generation, revoked_at IS NOT NULL FROM device"
            " ORDER BY last_seen_at DESC LIMIT %s"
        )
        async with self._database.transaction(_ANSWER_TIMEOUT_S * 10) as connection:
            cursor = await connection.execute(statement, (_REMEMBERED,))
            for device_id, *access in reversed(await cursor.fetchall()):
                self._remembered[device_id] = _Access(*access)

    async def find(self, device_id: str, client_id: str) -> Pairing:
        statement = b"SELECT client_id, token_generation, revoked_at IS NOT NULL AS revoked FROM device WHERE id = %s"
        return await self._answer(device_id, client_id, statement, (device_id,))

    async def claim(self, device_id: str, client_id: str) -> Pairing:
        parameters = {"device_id": device_id, "client_id": _kept(client_id)}
        return await self._answer(device_id, client_id, query("claim_device"), parameters)

    async def outdated(self, passes: Collection[Pass]) -> Collection[Pass]:
        parameters = {"device_ids": [one.device_id for one in passes], "generations": [p.generation for p in passes]}
        try:
            async with self._database.transaction(_ANSWER_TIMEOUT_S) as connection:
                cursor = await connection.execute(query("outdated_passes"), parameters)
                return {Pass(*row) for row in await cursor.fetchall()}
        except (Error, TimeoutError) as error:
            logger.debug("whether devices were revoked cannot be looked up: {}", type(error).__name__)
            return ()

    async def list(self) -> Iterable[KnownDevice]:
        async with self._database.transaction(_ANSWER_TIMEOUT_S * 10) as connection:
            cursor = connection.cursor(row_factory=class_row(KnownDevice))
            await cursor.execute(query("list_devices"))
            return await cursor.fetchall()

    async def pair(self, device_id: str, client_id: str | None) -> None:
        parameters = {"device_id": device_id, "client_id": client_id and _kept(client_id)}
        async with self._database.transaction(_ANSWER_TIMEOUT_S * 10) as connection:
            await connection.execute(query("pair_device"), parameters)

    async def revoke(self, device_id: str) -> bool:
        """False: nobody knows this device."""
        statement = (
            "UPDATE device SET revoked_at = coalesce(revoked_at, now()), token_generation = token_generation + 1"
            " WHERE id = %s"
        )
        async with self._database.transaction(_ANSWER_TIMEOUT_S * 10) as connection:
            cursor = await connection.execute(statement, (device_id,))
            return cursor.rowcount == 1

    async def _answer(self, device_id: str, client_id: str, statement: bytes, parameters: Any) -> Pairing:
        try:
            async with self._database.transaction(_ANSWER_TIMEOUT_S) as connection:
                cursor = connection.cursor(row_factory=class_row(_Access))
                await cursor.execute(statement, parameters)
                access = await cursor.fetchone()
        except (Error, TimeoutError) as error:
            if device_id not in self._remembered:
                raise PairingsUnavailableError from error
            logger.warning("the database does not say who {} is: what was known is used", device_id)
            access = self._remembered[device_id]
        self._remember(device_id, access)
        return _pairing(access, client_id)

    def _remember(self, device_id: str, access: _Access | None) -> None:
        self._remembered.pop(device_id, None)
        if access is not None:
            self._remembered[device_id] = access
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


def _pairing(access: _Access | None, client_id: str) -> Pairing:
    if access is None:
        return Pairing(Standing.UNKNOWN)
    if access.revoked:
        return Pairing(Standing.REVOKED, access.token_generation)
    if access.client_id is None:
        return Pairing(Standing.UNKNOWN, access.token_generation)
    same = hmac.compare_digest(access.client_id.encode(), _kept(client_id).encode())
    return Pairing(Standing.PAIRED if same else Standing.STRANGER, access.token_generation)


def _kept(client_id: str) -> str:
    return storable(client_id, _CLIENT_ID_CHARS)

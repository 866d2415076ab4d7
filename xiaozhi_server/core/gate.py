"""Who may come in, where `server.auth` is on: a device id belongs to the client id that first came with it, and the
device shows a token that it got over OTA. Knows no socket, no SQL and no setting.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Protocol

from loguru import logger

from .identity import DeviceIdentity
from .tokens import TokenMint

SHOW_ONE = "A device shows the token that OTA gave it, and the client id that it came to OTA with.\n"
NOT_VALID = "The token is not valid for this device and client: ask OTA for a new one.\n"
REVOKED = "This device was revoked.\n"
CANNOT_TELL = "Whether this device may come in cannot be looked up at the moment.\n"


class Standing(Enum):
    UNKNOWN = "unknown"
    PAIRED = "paired"
    STRANGER = "stranger"  # the device id belongs to another client
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Pairing:
    """How a device with a client stands. Only tokens of this generation count."""

    standing: Standing
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Pass:
    """What a connection was let in with."""

    device_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer in place of the upgrade."""

    status: HTTPStatus
    text: str
    retry_after_s: int | None = None


class PairingsUnavailableError(Exception):
    """It cannot be looked up now, and this device was not known before."""


class Pairings(Protocol):
    """Where it is written whose device id is whose. Both raise `PairingsUnavailableError`."""

    async def find(self, device_id: str, client_id: str) -> Pairing: ...

    async def claim(self, device_id: str, client_id: str) -> Pairing:
        """As `find`, but a device id that nobody has becomes this client's. Of two that come at once one gets it."""
        ...

    async def outdated(self, passes: Collection[Pass]) -> Collection[Pass]:
        """Those that would not be given today; none while that cannot be looked up."""
        ...


class Gate(Protocol):
    async def admit(self, identity: DeviceIdentity) -> Pass | Refusal: ...

    async def outdated(self, passes: Collection[Pass]) -> Collection[Pass]: ...


class TokenGate:
    def __init__(self, mint: TokenMint, pairings: Pairings) -> None:
        self._mint = mint
        self._pairings = pairings

    async def token_for(self, device_id: str, client_id: str | None) -> str | None:
        """What OTA hands out. None: nothing for this one. `PairingsUnavailableError`: ask again later."""
        if not client_id:
            logger.info("OTA: {} brings no client id: no token", device_id)
            return None
        pairing = await self._pairings.claim(device_id, client_id)
        if pairing.standing is not Standing.PAIRED:
            logger.warning(
                "OTA: no token for {}: it is {}; if it is yours: python -m xiaozhi_server devices pair {}",
                device_id,
                "revoked" if pairing.standing is Standing.REVOKED else "paired with another client id",
                device_id,
            )
            return None
        return self._mint.issue(device_id, client_id, pairing.generation)

    async def admit(self, identity: DeviceIdentity) -> Pass | Refusal:
        """The signature comes first: who has no token of ours costs the database nothing."""
        if not identity.client_id or not identity.token:
            return Refusal(HTTPStatus.UNAUTHORIZED, SHOW_ONE)
        generation = self._mint.generation_of(identity.token, identity.device_id, identity.client_id)
        if generation is None:
            return Refusal(HTTPStatus.UNAUTHORIZED, NOT_VALID)
        try:
            pairing = await self._pairings.find(identity.device_id, identity.client_id)
        except PairingsUnavailableError:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, CANNOT_TELL, retry_after_s=10)
        if pairing.standing is Standing.REVOKED:
            return Refusal(HTTPStatus.FORBIDDEN, REVOKED)
        if pairing.standing is not Standing.PAIRED or pairing.generation != generation:
            return Refusal(HTTPStatus.UNAUTHORIZED, NOT_VALID)
        return Pass(identity.device_id, generation)

    async def outdated(self, passes: Collection[Pass]) -> Collection[Pass]:
        return await self._pairings.outdated(passes)

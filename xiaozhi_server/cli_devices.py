"""`devices list|pair|revoke`: what a person decides about devices. It writes it into the database, where every server
that uses it finds it; a running one need not be told.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from .cli_database import opened_database
from .cli_output import failed, table
from .core.identity import normalise_device_id
from .logs import setup_console_warnings
from .settings import Settings
from .store.database import DatabaseError, DatabaseOptions
from .store.embedded import EmbeddedPostgresError
from .store.pairings import KnownDevice, PairingStore

OFF = "note: server.auth.enabled is false, so every device may come in until it is switched on"


def run_devices(settings: Settings, action: str, device_id: str | None, client_id: str | None) -> int:
    """The exit code: 0 if it was done."""
    setup_console_warnings(settings)
    try:
        return asyncio.run(_run(settings, action, device_id, client_id))
    except (DatabaseError, EmbeddedPostgresError) as problem:
        return failed(str(problem))


async def _run(settings: Settings, action: str, named: str | None, client_id: str | None) -> int:
    device_id = normalise_device_id(named or "")
    if action != "list" and device_id is None:
        return failed(f"devices {action} needs a device id, such as aa:bb:cc:dd:ee:ff")
    async with _pairings(settings) as pairings:
        if action == "list":
            sys.stdout.writelines(f"{line}\n" for line in lines(await pairings.list()))
            return 0
        assert device_id is not None
        if action == "pair":
            await pairings.pair(device_id, client_id)
            whose = f"client {client_id}" if client_id else "the next client that comes to OTA with it"
            print(f"{device_id} now belongs to {whose}; earlier tokens are void")
        elif not await pairings.revoke(device_id):
            return failed(f"{device_id} is not known: see `devices list`")
        else:
            print(f"{device_id} is shut out until `devices pair {device_id}`")
    if not settings.server.auth.enabled:
        print(OFF)
    return 0


def lines(devices: Iterable[KnownDevice]) -> list[str]:
    rows = [("DEVICE", "STATE", "CLIENT", "BOARD", "FIRMWARE", "LAST SEEN")]
    for device in devices:
        state = "revoked" if device.revoked else "paired" if device.client_id else "open"
        seen = device.last_seen_at.astimezone().strftime("%Y-%m-%d %H:%M")
        rows.append(
            (device.id, state, device.client_id or "-", device.board or "-", device.firmware_version or "-", seen)
        )
    return table(rows)


@asynccontextmanager
async def _pairings(settings: Settings) -> AsyncIterator[PairingStore]:
    async with opened_database(settings, DatabaseOptions(pool_min=1, pool_max=1)) as database:
        yield PairingStore(database)

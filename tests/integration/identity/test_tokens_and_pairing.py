"""`server.auth` with the whole server: who gets a token, who is let in, and what ends it. `e01`: edge case 1."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from firmware_sim.device import Habits, SimulatedDevice
from firmware_sim.errors import ConnectError
from tests.support.postgres_proxy import PostgresProxy
from tests.support.running_server import RunningServer, running_server
from tests.support.waiting import until
from xiaozhi_server.core.tokens import TokenMint
from xiaozhi_server.store.database import Database, DatabaseOptions
from xiaozhi_server.store.pairings import PairingStore

KEY = "a key that only this test knows"
AUTH = {"server.auth.enabled": True, "server.auth_key": KEY}
MAC, OWNER, STRANGER = "02:00:00:00:03:01", "client-of-the-owner", "client-of-a-stranger"
HELLO = '{"type":"hello","version":1,"transport":"websocket"}'


async def ota(server: RunningServer, mac: str = MAC, client_id: str | None = OWNER) -> tuple[int, Any]:
    headers = {"Device-Id": mac} | ({"Client-Id": client_id} if client_id else {})
    async with aiohttp.ClientSession() as session, session.post(server.ota_url, headers=headers, json={}) as answer:
        return answer.status, await answer.json()


async def token_of(server: RunningServer, mac: str = MAC, client_id: str | None = OWNER) -> str:
    status, document = await ota(server, mac, client_id)
    assert status == 200
    return str(document["websocket"]["token"])


def upgrade(server: RunningServer, token: str | None, mac: str = MAC, client_id: str | None = OWNER) -> connect:
    headers = {"Device-Id": mac, "Client-Id": client_id, "Authorization": f"Bearer {token}" if token else None}
    return connect(server.websocket_url, additional_headers={k: v for k, v in headers.items() if v}, compression=None)


async def refusal(attempt: connect) -> tuple[int, Mapping[str, str]]:
    with pytest.raises(InvalidStatus) as caught:
        await attempt
    assert caught.value.response.body, "a person who looks should read why"
    return caught.value.response.status_code, caught.value.response.headers


async def pair_or_revoke(dsn: str, action: str, client_id: str | None = None) -> None:
    database = await Database.open(dsn, options=DatabaseOptions(pool_min=1))
    store = PairingStore(database)
    await (store.revoke(MAC) if action == "revoke" else store.pair(MAC, client_id))
    await database.close()


async def test_a_device_talks_with_the_token_of_its_ota_answer(database_dsn: str, tmp_path: Path) -> None:
    async with (
        running_server(database_dsn, tmp_path, AUTH) as server,
        SimulatedDevice(server.ota_url, habits=Habits(mic_speed=20)) as device,
    ):
        await device.boot()
        assert device.storage.token()
        assert (await device.say_text("Hello")).finished
        assert not device.violations


async def test_e01_a_wrong_token_is_answered_401_before_the_upgrade(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        token = await token_of(server)
        expired = TokenMint(KEY, 60, lambda: 1000.0).issue(MAC, OWNER, 0)
        of_another_key = TokenMint(KEY + "!", 60).issue(MAC, OWNER, 0)
        for wrong in (None, "", "test-token", "None", token[:-1], token + "x", expired, of_another_key, "1.0.9.ü" * 40):
            status, headers = await refusal(upgrade(server, wrong))
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        for mac, client_id in (("02:00:00:00:03:02", OWNER), (MAC, STRANGER), (MAC, None)):
            assert (await refusal(upgrade(server, token, mac, client_id)))[0] == 401
        async with upgrade(server, token):
            pass


async def test_e01_the_firmware_says_that_it_cannot_connect_and_comes_again(database_dsn: str, tmp_path: Path) -> None:
    async with (
        running_server(database_dsn, tmp_path, AUTH) as server,
        SimulatedDevice(server.ota_url, mac=MAC) as device,
    ):
        await device.boot()
        good = device.storage.websocket["token"]
        device.storage.websocket["token"] = "wrong"
        with pytest.raises(ConnectError, match="401"):
            await device.connect()
        device.storage.websocket["token"] = good
        await device.connect()
        assert device.connected


async def test_a_stranger_with_a_known_mac_gets_no_token_and_no_connection(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        token = await token_of(server)
        assert await token_of(server, client_id=STRANGER) == ""
        assert await token_of(server, client_id=None) == ""
        assert await token_of(server, mac=MAC.upper().replace(":", "-"), client_id=STRANGER) == ""
        assert (await refusal(upgrade(server, token, client_id=STRANGER)))[0] == 401
        genuine_for_stranger = TokenMint(KEY, 60).issue(MAC, STRANGER, 0)
        assert (await refusal(upgrade(server, genuine_for_stranger, client_id=STRANGER)))[0] == 401
        assert await token_of(server), "the owner is not shut out by who tried"


async def test_a_stranger_at_ota_changes_nothing_about_the_device(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        await token_of(server)
        headers = {"Device-Id": MAC, "Client-Id": STRANGER, "Accept-Language": "zh-CN", "User-Agent": "evil"}
        async with aiohttp.ClientSession() as session, session.post(server.ota_url, headers=headers) as answer:
            assert answer.status == 200
    row = await one_row(database_dsn, "SELECT client_id, language FROM device")
    assert row == (OWNER, None)


async def one_row(dsn: str, statement: str) -> tuple[Any, ...] | None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(statement.encode())).fetchone()


async def test_of_many_first_contacts_at_once_one_client_gets_the_device(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        tokens = await asyncio.gather(*(token_of(server, client_id=f"client-{number}") for number in range(20)))
        winners = [number for number, token in enumerate(tokens) if token]
        assert len(winners) == 1
        async with upgrade(server, tokens[winners[0]], client_id=f"client-{winners[0]}"):
            pass


async def test_a_browser_comes_with_its_identity_in_the_query(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        token = await token_of(server, client_id="web")
        query = f"?device-id={MAC}&client-id=web&authorization=Bearer%20"
        async with connect(f"{server.websocket_url}{query}{token}") as socket:
            await socket.send(HELLO)
            assert "hello" in str(await asyncio.wait_for(socket.recv(), 5))
        assert (await refusal(connect(f"{server.websocket_url}{query}wrong")))[0] == 401


async def test_revoking_closes_the_live_connection_and_shuts_the_device_out(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        token = await token_of(server)
        other = await token_of(server, mac="02:00:00:00:03:09")
        async with upgrade(server, token) as socket, upgrade(server, other, mac="02:00:00:00:03:09") as bystander:
            await asyncio.gather(socket.send(HELLO), bystander.send(HELLO))
            await asyncio.gather(socket.recv(), bystander.recv())
            await pair_or_revoke(database_dsn, "revoke")
            async with asyncio.timeout(1.0):  # the contract's own bound
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            await (await bystander.ping())
        assert (await refusal(upgrade(server, token)))[0] == 403
        assert await token_of(server) == ""


async def test_pairing_anew_gives_the_device_to_another_client(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        old = await token_of(server)
        async with upgrade(server, old) as socket:
            await socket.send(HELLO)
            await socket.recv()
            await pair_or_revoke(database_dsn, "pair", STRANGER)
            async with asyncio.timeout(1.0):
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
        assert await token_of(server) == ""
        assert (await refusal(upgrade(server, old)))[0] == 401
        async with upgrade(server, await token_of(server, client_id=STRANGER), client_id=STRANGER):
            pass


async def test_after_an_open_pairing_the_next_client_keeps_the_device(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        before = await token_of(server)
        await pair_or_revoke(database_dsn, "revoke")
        await pair_or_revoke(database_dsn, "pair")
        assert await token_of(server, client_id=STRANGER)
        assert await token_of(server) == ""
        assert (await refusal(upgrade(server, before)))[0] == 401


async def test_while_the_database_is_away_known_devices_come_in_and_others_are_asked_to_come_again(
    database_dsn: str, tmp_path: Path
) -> None:
    async with PostgresProxy(database_dsn, tmp_path) as proxy:
        async with running_server(proxy.dsn, tmp_path, AUTH) as server:
            await token_of(server)
        async with running_server(proxy.dsn, tmp_path, AUTH) as server:  # it learns at its start who is paired
            await proxy.fail("stopped")
            async with upgrade(server, await token_of(server)):
                pass
            status, _ = await ota(server, mac="02:00:00:00:03:05")
            assert status == 503
            unknown = TokenMint(KEY, 60).issue("02:00:00:00:03:06", OWNER, 0)
            status, headers = await refusal(upgrade(server, unknown, mac="02:00:00:00:03:06"))
            assert (status, headers["Retry-After"]) == (503, "10")
            await proxy.heal()
            assert (await ota(server, mac="02:00:00:00:03:05"))[0] == 200


async def test_a_token_outlives_the_server_that_made_it(database_dsn: str, tmp_path: Path) -> None:
    own_key = {"server.auth.enabled": True}
    async with running_server(database_dsn, tmp_path, own_key) as server:
        token = await token_of(server)
    async with running_server(database_dsn, tmp_path, own_key) as server, upgrade(server, token):
        pass


async def test_off_as_it_is_by_default_nobody_is_checked(database_dsn: str, tmp_path: Path) -> None:
    async with running_server(database_dsn, tmp_path) as server:
        assert await token_of(server) == ""
        assert await token_of(server, client_id=STRANGER) == ""
        async with upgrade(server, None, client_id=STRANGER), upgrade(server, "test-token", mac="02:00:00:00:03:07"):
            pass
    assert not (tmp_path / "data" / "auth_key").exists()


async def test_turned_on_later_a_device_belongs_to_the_client_that_came_first_while_it_was_off(
    database_dsn: str, tmp_path: Path
) -> None:
    """So the clients that came by then are worth a look, and a pairing by hand mends what is wrong."""
    async with running_server(database_dsn, tmp_path) as server:
        await ota(server, client_id=STRANGER)
        await until(partial(one_row, database_dsn, "SELECT client_id FROM device"))  # it is noted beside the answer
        await ota(server)
        async with upgrade(server, None):
            pass
    async with running_server(database_dsn, tmp_path, AUTH) as server:
        assert await token_of(server) == ""
        token = await token_of(server, client_id=STRANGER)
        async with upgrade(server, token, client_id=STRANGER):
            pass
        await pair_or_revoke(database_dsn, "pair", OWNER)
        async with upgrade(server, await token_of(server)):
            pass
        assert (await refusal(upgrade(server, token, client_id=STRANGER)))[0] == 401

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import Error

from tests.support.postgres_proxy import PostgresProxy
from xiaozhi_server.core.ports import AgentProfile, DeviceContact
from xiaozhi_server.core.providers.memory.base import MemoryRules
from xiaozhi_server.store import memory_rules
from xiaozhi_server.store.database import Database
from xiaozhi_server.store.devices import DeviceDirectory

AGENT = AgentProfile("default", "Ada", "You are Ada.", "en", summary_memory="Keep facts.", timezone="Europe/Berlin")
CONTACT = DeviceContact("02:00:00:00:00:01", "client-1", "192.0.2.7", board="bread", firmware_version="2.0.1")


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(database_dsn)
    yield database
    await database.close()


@pytest.fixture
async def directory(database: Database) -> DeviceDirectory:
    directory = DeviceDirectory(database, AGENT)
    await directory.start()
    return directory


async def device_row(database: Database, columns: str) -> tuple[object, ...]:
    async with database.transaction(1) as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM device".encode())
        (row,) = await cursor.fetchall()
        return tuple(row)


async def test_a_new_device_gets_the_default_agent_and_is_its_own_household(directory: DeviceDirectory) -> None:
    binding = await directory.resolve(CONTACT)
    assert (binding.device_id, binding.owner_id) == (CONTACT.device_id, f"device:{CONTACT.device_id}")
    assert binding.agent == AGENT


async def test_a_device_of_an_account_shares_its_household_and_has_its_agent(
    directory: DeviceDirectory, database: Database
) -> None:
    await directory.resolve(CONTACT)
    async with database.transaction(1) as connection:
        await connection.execute("INSERT INTO account (id, name) VALUES (7, 'home')")
        await connection.execute("INSERT INTO agent (id, name, account_id, history) VALUES ('b', 'Bo', 7, 'off')")
        await connection.execute("UPDATE device SET account_id = 7, agent_id = 'b'")
    binding = await directory.resolve(CONTACT)
    assert binding.owner_id == "account:7"
    assert binding.agent == AgentProfile("b", "Bo", "", "en", history="off")


async def test_the_first_client_id_stays_and_later_facts_replace_earlier_ones(
    directory: DeviceDirectory, database: Database
) -> None:
    await directory.resolve(CONTACT)
    await directory.resolve(replace(CONTACT, client_id="client-2", firmware_version="2.1.0", board=None))
    row = await device_row(database, "client_id, firmware_version, board, first_seen_at < last_seen_at")
    assert row == ("client-1", "2.1.0", "bread", True)


async def test_the_configuration_changes_the_default_agent_but_keeps_what_it_leaves_open(
    directory: DeviceDirectory, database: Database
) -> None:
    renamed = DeviceDirectory(database, replace(AGENT, name="Eve", summary_memory=None))
    await renamed.start()
    agent = (await directory.resolve(CONTACT)).agent
    assert (agent.name, agent.summary_memory) == ("Eve", "Keep facts.")


async def test_what_agents_want_done_with_their_memories_is_kept_with_them(database: Database) -> None:
    wanted = MemoryRules(
        forget=True, ttl_days=30, categories=("health", "家庭"), compress_after_days=60, share_from=("bot",)
    )
    directory = DeviceDirectory(database, replace(AGENT, memory_rules=wanted))
    await directory.start()
    assert (await directory.resolve(CONTACT)).agent.memory_rules == wanted
    async with database.transaction(1) as connection:
        for agent, rules in (
            ("plain", "{}"),
            ("newer", '{"forget": true, "later": 1}'),
            ("broken", '{"categories": ["", "x"]}'),
            ("wrong", '{"compress_after_days": 0}'),
        ):
            await connection.execute(
                "INSERT INTO agent (id, name, memory_rules) VALUES (%s, %s, %s)", (agent, agent, rules)
            )
    assert await memory_rules.memory_rules(database) == {
        "default": wanted,
        "newer": MemoryRules(forget=True),
        "broken": MemoryRules(),
        "wrong": MemoryRules(),
    }
    await DeviceDirectory(database, AGENT).start()
    assert "default" not in await memory_rules.memory_rules(database)
    assert (await directory.resolve(CONTACT)).agent.memory_rules == MemoryRules()


async def test_what_a_device_says_of_itself_may_be_anything(directory: DeviceDirectory, database: Database) -> None:
    await directory.resolve(replace(CONTACT, user_agent="x\x00\ud800" + "y" * 999, board="b" * 999))
    assert await device_row(database, "user_agent, length(board)") == ("x?" + "y" * 253, 128)


async def test_while_the_database_is_away_known_devices_stay_known_and_nothing_is_said_of_strangers(
    database_dsn: str, tmp_path: Path
) -> None:
    async with PostgresProxy(database_dsn, tmp_path) as proxy:
        database = await Database.open(proxy.dsn)
        directory = DeviceDirectory(database, AGENT)
        await directory.start()
        known = await directory.resolve(CONTACT)
        await proxy.fail("stopped")
        assert await directory.resolve(CONTACT) == known
        with pytest.raises((Error, TimeoutError)):
            await directory.resolve(replace(CONTACT, device_id="02:00:00:00:00:02"))
        await database.close()


async def test_the_language_of_a_device_is_the_one_it_was_last_set_to(directory: DeviceDirectory) -> None:
    assert (await directory.resolve(CONTACT)).language == AGENT.language
    assert (await directory.resolve(replace(CONTACT, language="zh-CN"))).language == "zh-CN"
    assert (await directory.resolve(CONTACT)).language == "zh-CN"

"""Exchanges that are saved together: when a batch is closed, what is in it, and what becomes of it when it fails."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from tests.integration.memory.conftest import StartGathering
from xiaozhi_server.core.providers.memory.base import SpokenMessage
from xiaozhi_server.core.providers.memory.mem0ai import Mem0aiMemory, MemoryEngine
from xiaozhi_server.core.providers.memory.mem0ai.saving.drain import DrainOptions
from xiaozhi_server.core.providers.memory.mem0ai.saving.saver import BatchPolicy

NEVER = 3600.0
QUICK = DrainOptions(first_retry_s=0.02, longest_retry_s=0.05, idle_pause_s=0.05, attempts_together=2)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def tell(
    engine: MemoryEngine, *texts: str, user_id: str = "ann", agent: str = "bot", session: str = "s1"
) -> None:
    for text in texts:
        message = SpokenMessage("user", text, NOON)
        await engine.enqueue([message], user_id=user_id, agent_id=agent, session_id=session, key=text)


async def drained(engine: MemoryEngine) -> None:
    async with asyncio.timeout(30):
        while (await engine.depth()).waiting:  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.01)


async def texts_of(engine: MemoryEngine, user_id: str = "ann") -> list[str]:
    return sorted(memory.text for memory in await engine.get_all(user_id=user_id))


async def test_enough_exchanges_close_a_batch_and_the_rest_waits(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=NEVER, exchanges=3), QUICK) as (engine, saver):
        await tell(engine, *(f"Fact {n}." for n in range(5)))
        await saver.has_got(1)
        await tell(engine, "Fact 5.")
        await saver.has_got(2)
        await drained(engine)
        assert saver.batches == [["Fact 0.", "Fact 1.", "Fact 2."], ["Fact 3.", "Fact 4.", "Fact 5."]]
        assert await texts_of(engine) == [f"Fact {n}." for n in range(6)]


async def test_many_characters_close_a_batch(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=NEVER, exchanges=10, chars=100), QUICK) as (engine, saver):
        await tell(engine, "a" * 60, "b" * 30, "c" * 30)
        await saver.has_got(1)
        assert saver.batches == [["a" * 60, "b" * 30]]
        await tell(engine, "d" * 200, "e")  # more than a batch by itself: it comes alone
        await saver.has_got(3)
        assert saver.batches[1:] == [["c" * 30], ["d" * 200]]


async def test_silence_closes_a_batch(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=0.3), QUICK) as (engine, saver):
        await tell(engine, "One.", "Two.")
        await drained(engine)
        assert saver.batches == [["One.", "Two."]]


async def test_the_end_of_the_session_closes_a_batch(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=NEVER), QUICK) as (engine, saver):
        memory = Mem0aiMemory(engine)
        await memory.init_memory("ann", agent_id="bot", summary_memory="Remember hobbies.")
        for text in ("I play chess.", "I row."):
            await memory.save_memory([SpokenMessage("user", text, NOON)], "s1")
        await tell(engine, "Another household's.", user_id="bob", session="s2")
        await memory.close()
        await saver.has_got(1)
        assert saver.batches == [["I play chess.", "I row."]]
        assert saver.instructions == ["Remember hobbies."] * 2
        await engine.end_session("s2", user_id="bob")
        await drained(engine)
        assert saver.batches[1:] == [["Another household's."]]


async def test_what_waits_for_its_batch_is_found_already(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=NEVER), QUICK) as (engine, saver):
        await tell(engine, "My favourite colour is teal.")
        found = await engine.search("favourite colour", user_id="ann", agent_id="bot")
        assert [one.memory.text for one in found] == ["My favourite colour is teal."]
        assert saver.batches == []


async def test_a_batch_is_one_agents_and_one_owners_in_order(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=0.3), QUICK) as (engine, saver):
        await tell(engine, "To the bot.")
        await tell(engine, "To the bot by another device.", session="s2")
        await tell(engine, "To the tutor.", agent="tutor")
        await tell(engine, "To the bot again.")
        await tell(engine, "By somebody else.", user_id="bob")
        await drained(engine)
        anns = [batch for batch in saver.batches if batch != ["By somebody else."]]
        assert anns == [["To the bot.", "To the bot by another device."], ["To the tutor."], ["To the bot again."]]
        assert len(saver.batches) == 4


async def test_a_failed_batch_comes_again_as_it_was_and_then_in_pieces(start_gathering: StartGathering) -> None:
    async with start_gathering(
        BatchPolicy(idle_s=NEVER, exchanges=3), replace(QUICK, attempts_max=4), poison="poison"
    ) as (engine, saver):
        await tell(engine, "Before.", "This is poison.", "Behind.")
        await saver.has_got(2)
        await tell(engine, "Later.")  # no part of that batch
        await saver.has_got(3)
        assert saver.batches[:3] == [["Before.", "This is poison.", "Behind."]] * 2 + [["Before."]]
        await engine.end_session("s1", user_id="ann")
        await drained(engine)
        assert await texts_of(engine) == ["Before.", "Behind.", "Later."]
        (letter,) = await engine.dead_letters("ann")
        assert (letter.entry.key, letter.error, letter.entry.attempts) == ("This is poison.", "ValueError", 4)


async def test_a_batch_that_hangs_holds_up_no_other_owner(start_gathering: StartGathering) -> None:
    policy = BatchPolicy(idle_s=0.0, parallel=2, timeout_s=NEVER)
    async with start_gathering(policy, QUICK, tar="tar") as (engine, saver):
        await tell(engine, "This is tar.", user_id="bob")
        await saver.has_got(1)
        await tell(engine, "Fine by me.")
        async with asyncio.timeout(30):
            while await texts_of(engine) != ["Fine by me."]:  # noqa: ASYNC110 - the database has no event to wait for
                await asyncio.sleep(0.01)
        assert (await engine.depth()).waiting == 1


async def test_a_batch_that_takes_too_long_is_tried_again(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=0.0, timeout_s=0.05), QUICK, tar="tar") as (engine, saver):
        await tell(engine, "This is tar.")
        await saver.has_got(2)
        saver.released.set()
        await drained(engine)
        assert await texts_of(engine) == ["This is tar."]


async def test_what_is_forgotten_while_its_batch_is_prepared_is_not_written(start_gathering: StartGathering) -> None:
    async with start_gathering(BatchPolicy(idle_s=0.2, timeout_s=NEVER), QUICK, tar="tar") as (engine, saver):
        await tell(engine, "One.", "This is tar.")
        await saver.has_got(1)
        await engine.delete_all(user_id="ann")
        saver.released.set()
        await tell(engine, "Two.")
        await drained(engine)
        assert await texts_of(engine) == ["Two."]


async def test_two_engines_take_each_batch_once(start_gathering: StartGathering) -> None:
    policy = BatchPolicy(idle_s=0.2, exchanges=4)
    async with (
        start_gathering(policy, QUICK) as (one, its_saver),
        start_gathering(policy, QUICK) as (other, other_saver),
    ):
        for number in range(40):
            await tell((one, other)[number % 2], f"Fact {number}.", user_id=f"owner-{number % 5}")
        await drained(one)
        batches = its_saver.batches + other_saver.batches
        assert sorted(text for batch in batches for text in batch) == sorted(f"Fact {n}." for n in range(40))
        assert all(len(batch) <= 4 for batch in batches)

"""The plain client of the bench: one service after the other, no more, and no sooner than they answer."""

from bench.plain_turn import PlainTurns
from bench.server import notes, overhead
from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.load import PHRASE

TURN = ["transcription", "chat", "speech"]


async def measured(cloud: StandInCloud, clients: int, turns: int) -> list[float]:
    return await PlainTurns(cloud.base_url, clients, turns, period_s=0.05).measure()


async def test_a_turn_asks_for_the_transcript_its_answer_and_the_sound_of_it() -> None:
    async with StandInCloud(phrases=[PHRASE]) as cloud:
        assert len(await measured(cloud, clients=1, turns=2)) == 2
    asked = list(cloud.requests)
    assert [request.service for request in asked] == TURN * 3  # one turn before it counts
    heard, chat, speech = asked[-3:]
    assert chat.body["messages"][-1]["content"] == heard.body["text"]
    assert speech.body["input"] == "Noted: Please tell you what you know about your favourite colour."


async def test_every_client_takes_every_turn_and_waits_for_each_service() -> None:
    async with StandInCloud(phrases=[PHRASE]) as cloud:
        cloud.faults.transcription = cloud.faults.chat = cloud.faults.speech = Fault(delay_s=0.05)
        turns_ms = await measured(cloud, clients=3, turns=2)
    assert len(turns_ms) == 6
    assert min(turns_ms) >= 150


def test_the_overhead_is_told_below_the_table() -> None:
    first_audio = {"p50": 930.0, "p95": 950.04}
    plain = {"p50": 900.0, "p95": 910.0}
    over = overhead(first_audio, plain)
    assert over == {"p95_over_plain_p50": 50.0, "p95_over_plain_p95": 40.0}
    (note,) = notes({"case": "slow", "plain_turn_ms": plain, "overhead_ms": over})
    assert note.startswith("slow: ")
    assert "50.0 ms above that median, 40.0 ms above that p95" in note
    assert notes({"case": "quick"}) == []


def test_without_a_turn_there_is_no_overhead() -> None:
    assert overhead({}, {"p50": 900.0, "p95": 910.0}) == {}

"""A turn that is cancelled: the device is free at once, nothing late goes out, and only what was heard is kept."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.virtual_time import run_virtual
from tests.unit.turn.turn_stage import (
    FRAME_S,
    NotedLog,
    ScriptedAsr,
    ScriptedLlm,
    ScriptedMemory,
    ScriptedTts,
    Stage,
    stage,
    tone,
    until,
)
from xiaozhi_server.core.turn.turn import Request, SpokenRequest, Turn, TypedRequest

LONG = "One is a small number. Two is somewhat larger. Three is larger still. Four is quite enough for me."


async def cancelled(scene: Stage, request: Request, when: Callable[[], bool]) -> Turn:
    """Run a turn, cancel it at some moment, and see that nothing comes after its stop."""
    turn = scene.turn(request)
    task = asyncio.create_task(turn.run())
    await until(when)
    count = len(scene.device.received)
    task.cancel()
    await asyncio.sleep(0)
    at_once = scene.device.kinds[-1:]
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(20.0)
    late = [item.kind for item in scene.device.received[count:]]
    assert late in ([], ["tts stop"]), "something came late"
    assert at_once == scene.device.kinds[-1:], "the stop was not immediate"
    assert await scene.services.background.drain(1.0)
    return turn


def test_a_cancelled_turn_stops_at_once_and_keeps_what_was_heard() -> None:
    async def scenario(scene: Stage) -> None:
        turn = await cancelled(scene, TypedRequest("Count"), lambda: len(scene.device.frames) > 60)
        assert turn.outcome is not None
        assert turn.outcome.kind == "interrupted"
        heard = turn.outcome.heard
        assert LONG.startswith(heard)
        assert "One is a small number." in heard
        assert "Four" not in heard
        assert scene.said == [("user", "Count"), ("assistant", heard)]
        exchange = scene.log.exchanges[0]
        assert exchange.outcome == "interrupted"
        assert [line.content for line in exchange.lines] == ["Count", heard]

    with stage(llm=ScriptedLlm(LONG), tts=ScriptedTts(2.0)) as scene:
        run_virtual(scenario(scene))


def test_half_a_sentence_is_cut_at_a_word() -> None:
    text = "Twenty long words of one sentence without any stop are spoken here so that it can be cut in two"

    async def scenario(scene: Stage) -> None:
        turn = await cancelled(scene, TypedRequest("Go"), lambda: len(scene.device.frames) >= 2 + 50 + 5)
        assert turn.outcome is not None
        heard = turn.outcome.heard
        assert text.startswith(f"{heard} ")
        assert 0.3 < len(heard) / len(text) < 0.6

    with stage(llm=ScriptedLlm(text), tts=ScriptedTts(100 * FRAME_S)) as scene:
        run_virtual(scenario(scene))


@pytest.mark.parametrize("pause_s", [0.0, 0.1])
def test_cancelled_while_the_model_thinks(pause_s: float) -> None:
    llm = ScriptedLlm(5.0, "Too late.")

    async def scenario(scene: Stage) -> None:
        loop = asyncio.get_running_loop()
        await cancelled(scene, TypedRequest("Hi"), lambda: loop.time() >= pause_s + 0.01)
        assert scene.device.kinds == ["stt", "tts start", "tts stop"]
        assert scene.said == [("user", "Hi")]
        assert [line.role for line in scene.log.exchanges[0].lines] == ["user"]
        assert llm.closed == len(llm.asked)

    with stage(llm=llm) as scene:
        run_virtual(scenario(scene))


def test_cancelled_while_the_recogniser_works_sends_nothing_at_all() -> None:
    async def scenario(scene: Stage) -> None:
        request = SpokenRequest(tone(1.0), 16_000)
        await cancelled(scene, request, lambda: asyncio.get_running_loop().time() > 0.5)
        assert scene.device.received == []
        assert scene.log.exchanges == []

    with stage(asr=ScriptedAsr("Hello", delay_s=1.0)) as scene:
        run_virtual(scenario(scene))


def test_cancelled_during_recall_or_synthesis_ends_everything() -> None:
    tts = ScriptedTts(delay_s=2.0)

    async def scenario(scene: Stage) -> None:
        await cancelled(scene, TypedRequest("Hi"), lambda: tts.under_way > 0)
        assert tts.under_way == 0
        assert scene.device.kinds[-1] == "tts stop"

    with stage(tts=tts, memory=ScriptedMemory(delay_s=0.05)) as scene:
        run_virtual(scenario(scene))


def test_a_turn_cancelled_in_its_last_frames_was_heard_completely() -> None:
    async def scenario(scene: Stage) -> None:
        turn = await cancelled(scene, TypedRequest("Hi"), lambda: bool(scene.log.exchanges))
        assert turn.outcome is not None
        assert turn.outcome.heard == "Hello there, my friend."
        assert [exchange.outcome for exchange in scene.log.exchanges] == ["done"]

    with stage() as scene:
        run_virtual(scenario(scene))


def test_a_slow_log_does_not_hold_a_cancelled_turn() -> None:
    async def scenario(scene: Stage) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(scene.turn(TypedRequest("Hi")).run())
        await until(lambda: len(scene.device.frames) > 10)
        cancelled_at = loop.time()
        task.cancel()
        await asyncio.wait({task})
        assert loop.time() - cancelled_at <= 0.25
        assert await scene.services.background.drain(10.0)
        assert scene.log.exchanges[0].outcome == "interrupted"

    with stage(log=NotedLog(delay_s=5.0)) as scene:
        run_virtual(scenario(scene))


def test_the_next_turn_already_knows_what_was_heard() -> None:
    llm = ScriptedLlm(LONG)

    async def scenario(scene: Stage) -> None:
        first = asyncio.create_task(scene.turn(TypedRequest("Count")).run())
        await until(lambda: len(scene.device.frames) > 60)
        first.cancel()
        await asyncio.create_task(scene.turn(TypedRequest("Stop")).run())
        await asyncio.wait({first})
        roles = [message.role for message in llm.asked[1]]
        assert roles == ["system", "user", "assistant", "user"]

    with stage(llm=llm, tts=ScriptedTts(2.0)) as scene:
        run_virtual(scenario(scene))

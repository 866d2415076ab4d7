"""Who has the floor, on a virtual clock: barge-in, abort, wake words, typed and spoken turns."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.connection_fakes import UTTERANCE, World
from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.connection import ConnectionOptions
from xiaozhi_server.core.conversation import ConversationOptions
from xiaozhi_server.core.hearing.events import NothingHeard, SpeechStarted
from xiaozhi_server.core.turn.inputs import SpokenRequest, TypedRequest

ANSWER = ["tts start", "tts sentence_start", "audio", "tts stop"]
WAKE = ConversationOptions(wake_words=("你好小智", "Hi, ESP"))


def converse(scenario: Callable[[World], Awaitable[None]], options: ConversationOptions = WAKE) -> World:
    """Run a scenario against a greeted connection."""

    async def main() -> World:
        async with World(ConnectionOptions(conversation=options)) as world:
            await world.greeted()
            await scenario(world)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return world

    return run_virtual(main())


async def ask(world: World, text: str = "how are you") -> None:
    world.say(type="listen", state="detect", text=text)
    await asyncio.sleep(0.01)


def test_typed_text_is_a_turn() -> None:
    async def scenario(world: World) -> None:
        await ask(world)
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER

    world = converse(scenario)
    assert world.turn.request == TypedRequest("how are you")
    assert world.observer.outcomes == ["done"]


def test_an_utterance_is_a_turn() -> None:
    async def scenario(world: World) -> None:
        world.say(type="listen", state="start", mode="auto")
        world.listener.on_event(SpeechStarted())
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER
        assert world.listener.calls == ["start auto", "pause", "resume"]

    world = converse(scenario)
    assert world.turn.request == SpokenRequest(UTTERANCE.pcm, 16_000)


def test_nothing_heard_needs_no_answer() -> None:
    async def scenario(world: World) -> None:
        world.say(type="listen", state="start", mode="manual")
        world.say(type="listen", state="stop")
        world.listener.on_event(NothingHeard("stop"))
        await asyncio.sleep(1)
        assert world.channel.kinds() == []
        assert world.listener.calls == ["start manual", "stop"]

    converse(scenario)


@pytest.mark.parametrize("text", ["", " ", "你好，小智！", "hi esp", "ＨＩ，ＥＳＰ", "Hi,ESP"])
def test_a_wake_word_is_no_question(text: str) -> None:
    async def scenario(world: World) -> None:
        await ask(world, text)
        assert world.listener.calls == ["discard"]
        assert world.channel.kinds() == []

    assert converse(scenario).turns == []


@pytest.mark.parametrize("word", ["Hi, ESP", ""])
@pytest.mark.parametrize("order", ["detect, start", "start, detect"])
def test_a_wake_word_is_greeted_once_whatever_the_order(order: str, word: str) -> None:
    async def scenario(world: World) -> None:
        for what in order.split(", "):
            if what == "detect":
                await ask(world, word)
            else:
                world.say(type="listen", state="start", mode="auto")
                await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER

    world = converse(scenario, ConversationOptions(wake_words=("Hi ESP",), greet=True, greeting="Yes?"))
    assert world.announced() == ["Yes?"]


def test_a_listen_start_with_typed_text_does_not_cancel_it() -> None:
    async def scenario(world: World) -> None:
        await ask(world)
        world.say(type="listen", state="start", mode="auto")
        assert world.listener.calls[-2:] == ["start auto", "pause"]
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER

    assert converse(scenario).turn.state == "done"


def test_a_listen_start_while_it_speaks_is_barge_in() -> None:
    async def scenario(world: World) -> None:
        world.script.speak_s = 10
        await ask(world)
        await asyncio.sleep(5)
        world.say(type="listen", state="start", mode="auto")
        assert world.channel.kinds() == ANSWER
        assert world.listener.calls[-2:] == ["resume", "start auto"]
        await asyncio.sleep(5)
        assert world.channel.kinds() == ANSWER

    assert converse(scenario).turn.state == "cancelled"


def test_a_listen_start_while_it_thinks_cancels_without_a_stop() -> None:
    async def scenario(world: World) -> None:
        world.script.think_s = 10
        world.say(type="listen", state="start", mode="manual")
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(1)
        world.say(type="listen", state="start", mode="manual")
        await asyncio.sleep(10)
        assert world.channel.kinds() == []

    assert converse(scenario).observer.outcomes == ["interrupted"]


def test_a_double_listen_start_is_no_error() -> None:
    async def scenario(world: World) -> None:
        for _ in range(2):
            world.say(type="listen", state="start", mode="auto")
        assert world.listener.calls == ["start auto", "start auto"]
        assert world.channel.kinds() == []

    converse(scenario)


@pytest.mark.parametrize("reason", [None, "wake_word_detected", 5])
def test_abort_stops_at_once_and_nothing_comes_late(reason: object) -> None:
    async def scenario(world: World) -> None:
        await ask(world)
        world.say(type="abort", reason=reason)
        assert world.channel.kinds() == ANSWER
        await asyncio.sleep(5)
        assert world.channel.kinds() == ANSWER

    assert converse(scenario).turn.state == "cancelled"


def test_abort_is_always_answered_with_a_stop() -> None:
    async def scenario(world: World) -> None:
        world.say(type="abort")
        world.say(type="listen", state="start", mode="auto")
        world.say(type="abort")
        world.script.think_s = 10
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(1)
        world.say(type="abort")
        world.say(type="abort")
        assert world.channel.kinds() == ["tts stop"] * 4

    converse(scenario)


def test_abort_and_the_next_recording_at_once() -> None:
    async def scenario(world: World) -> None:
        await ask(world)
        world.say(type="abort")
        world.say(type="listen", state="start", mode="manual")
        world.say(type="listen", state="stop")
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER + ANSWER

    world = converse(scenario)
    assert [turn.state for turn in world.turns] == ["cancelled", "done"]


def test_speech_in_realtime_mode_is_barge_in() -> None:
    async def scenario(world: World) -> None:
        world.say(type="listen", state="start", mode="realtime")
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(0.1)
        assert "pause" not in world.listener.calls
        world.listener.on_event(SpeechStarted())
        assert world.channel.kinds() == ANSWER
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER + ANSWER

    world = converse(scenario)
    assert [turn.state for turn in world.turns] == ["cancelled", "done"]


def test_in_auto_mode_what_follows_a_noise_is_answered() -> None:
    async def scenario(world: World) -> None:
        world.script.think_s, world.script.silent = 0.3, True
        world.say(type="listen", state="start", mode="auto")
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(0.2)
        world.listener.on_event(SpeechStarted())
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(0.2)
        assert [turn.state for turn in world.turns] == ["done", "running"]

    converse(scenario)


def test_in_auto_mode_what_is_said_before_an_answer_is_dropped_by_it() -> None:
    async def scenario(world: World) -> None:
        world.script.think_s = 0.3
        world.say(type="listen", state="start", mode="auto")
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(0.2)
        world.listener.on_event(UTTERANCE)
        await asyncio.sleep(5)
        assert world.channel.kinds() == ANSWER

    assert len(converse(scenario).turns) == 1


def test_typed_text_interrupts_an_answer() -> None:
    async def scenario(world: World) -> None:
        await ask(world, "one")
        await ask(world, "two")
        await asyncio.sleep(2)
        assert world.channel.kinds() == ANSWER + ANSWER

    world = converse(scenario)
    assert [turn.state for turn in world.turns] == ["cancelled", "done"]


@pytest.mark.parametrize(("early", "sent"), [(True, []), (False, ANSWER)])
def test_a_turn_that_fails_leaves_no_device_speaking_and_the_next_one_works(early: bool, sent: list[str]) -> None:
    async def scenario(world: World) -> None:
        world.script.failure = RuntimeError("broken") if early else None
        world.script.late_failure = None if early else RuntimeError("broken")
        await ask(world)
        assert world.channel.kinds() == sent
        world.script.failure = world.script.late_failure = None
        await ask(world)
        await asyncio.sleep(2)
        assert world.channel.kinds() == sent + ANSWER

    assert converse(scenario).observer.outcomes == ["failed", "done"]


def test_a_hundred_hasty_questions_leave_one_answer() -> None:
    async def scenario(world: World) -> None:
        for number in range(100):
            world.say(type="listen", state="detect", text=f"question {number}")
        await asyncio.sleep(5)
        assert world.channel.kinds() == ANSWER

    world = converse(scenario)
    assert world.turn.request == TypedRequest("question 99")

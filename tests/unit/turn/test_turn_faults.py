"""Providers that are dead, slow or talk nonsense: the device hears or reads something within two seconds, and gets
its stop.
"""

import asyncio
from dataclasses import replace

import pytest

from tests.support.virtual_time import run_virtual
from tests.unit.turn.turn_stage import (
    NotedLog,
    ScriptedAsr,
    ScriptedLlm,
    ScriptedTts,
    Stage,
    stage,
    tone,
)
from xiaozhi_server.core.texts import Phrase, phrase
from xiaozhi_server.core.turn.turn import Request, SpokenRequest, TurnOptions, TurnOutcome, TypedRequest
from xiaozhi_server.core.turn.warm import warm_phrases

SPEECH = SpokenRequest(tone(1.0), 16_000)
FOREVER = 10_000.0
LLM_FAILED = phrase(Phrase.LLM_FAILED, "en")
FILLER = phrase(Phrase.FILLER, "en")


def play(scene: Stage, request: Request) -> TurnOutcome:
    outcome = run_virtual(scene.turn(request).run())
    assert [item.kind for item in scene.device.received if item.kind in ("tts start", "tts stop")] == [
        "tts start",
        "tts stop",
    ]
    assert scene.device.received[-1].kind == "tts stop"
    return outcome


def shown(scene: Stage) -> str:
    return " ".join(scene.device.sentences)


@pytest.mark.parametrize(
    ("llm", "error"),
    [
        (ScriptedLlm(ConnectionRefusedError()), "llm:provider_failed"),
        (ScriptedLlm(), "llm:nonsense"),
        (ScriptedLlm("<think>hm</think>", "** **"), "llm:nonsense"),
        (ScriptedLlm("<think>for ever"), "llm:nonsense"),
    ],
)
def test_a_dead_or_speechless_model_is_answered_for_at_once(llm: ScriptedLlm, error: str) -> None:
    with stage(llm=llm) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert outcome.kind == "failed"
        assert outcome.errors == (error,)
        assert shown(scene) == LLM_FAILED
        assert scene.device.frames[0].at < 0.2
        assert scene.device.of("llm")[0].body["emotion"] == "sad"


def test_an_apology_is_neither_dialogue_nor_memory_but_the_question_is() -> None:
    with stage(llm=ScriptedLlm(OSError())) as scene:
        play(scene, TypedRequest("My cat is called Tom."))
        assert scene.said == [("user", "My cat is called Tom.")]
        exchange = scene.log.exchanges[0]
        assert exchange.outcome == "failed"
        assert exchange.errors == ("llm:provider_failed",)
        assert [line.content for line in exchange.lines] == ["My cat is called Tom."]


def test_a_model_that_dies_in_its_answer() -> None:
    with stage(llm=ScriptedLlm("The answer to this is well known. And it", OSError())) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert outcome.heard == "The answer to this is well known."
        assert shown(scene) == f"{outcome.heard} {LLM_FAILED}"


def test_a_model_that_is_slow_is_bridged_by_a_filler_and_then_answers() -> None:
    with stage(llm=ScriptedLlm(4.0, "Here I am.")) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert scene.device.frames[0].at < 2.0
        assert shown(scene) == f"{FILLER} Here I am."
        assert (outcome.kind, outcome.heard) == ("done", "Here I am.")


def test_a_model_that_stalls_for_ever_is_given_up() -> None:
    with stage(llm=ScriptedLlm(FOREVER)) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert shown(scene) == f"{FILLER} {LLM_FAILED}"
        assert outcome.errors == ("llm:timeout",)
        assert outcome.timings_ms["ended"] < 15_000


def test_a_model_that_stalls_in_its_answer_is_bridged_too() -> None:
    with stage(llm=ScriptedLlm("The answer to this is well known. ", FOREVER)) as scene:
        play(scene, TypedRequest("Hi"))
        assert shown(scene) == f"The answer to this is well known. {FILLER} {LLM_FAILED}"


def test_a_model_that_never_ends_is_cut_off() -> None:
    options = TurnOptions(max_answer_chars=300)
    llm = ScriptedLlm(*["And on it goes. "] * 10_000)
    with stage(llm=llm, options=options, tts=ScriptedTts(0.3)) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert 250 < len(outcome.heard) <= 300
        assert llm.closed == 1


def test_a_recogniser_that_fails_asks_to_say_it_again() -> None:
    with stage(asr=ScriptedAsr(failure=OSError())) as scene:
        outcome = play(scene, SPEECH)
        assert outcome.errors == ("asr:provider_failed",)
        assert shown(scene) == phrase(Phrase.ASR_FAILED, "en")
        assert scene.said == []


def test_a_recogniser_that_stalls() -> None:
    with stage(asr=ScriptedAsr("late", delay_s=FOREVER)) as scene:
        outcome = play(scene, SPEECH)
        assert scene.device.frames[0].at < 2.0
        assert outcome.errors == ("asr:timeout",)


def test_a_recogniser_that_was_slow_and_heard_nothing_still_gives_the_device_back() -> None:
    with stage(asr=ScriptedAsr("", delay_s=3.0)) as scene:
        assert play(scene, SPEECH).kind == "silent"
        assert shown(scene) == FILLER


@pytest.mark.parametrize("tts", [ScriptedTts(failure=ConnectionRefusedError()), ScriptedTts(seconds=0.0)])
def test_a_dead_voice_leaves_the_answer_to_be_read(tts: ScriptedTts) -> None:
    with stage(tts=tts) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert scene.device.frames == []
        assert shown(scene) == "Hello there, my friend."
        alert = scene.device.of("alert")[0].body
        assert alert["message"] == "Hello there, my friend."
        assert outcome.kind == "done"
        assert outcome.heard == "Hello there, my friend."
        assert outcome.timings_ms["ended"] < 100


def test_a_dead_voice_is_not_asked_for_every_sentence() -> None:
    tts = ScriptedTts(failure=OSError())
    with stage(tts=tts, llm=ScriptedLlm("This is one of several sentences. " * 10)) as scene:
        play(scene, TypedRequest("Hi"))
        assert len(tts.asked) <= 4
        assert len(scene.device.sentences) == 10


def test_model_and_voice_dead_together() -> None:
    with stage(tts=ScriptedTts(failure=OSError()), llm=ScriptedLlm(OSError())) as scene:
        play(scene, TypedRequest("Hi"))
        assert shown(scene) == LLM_FAILED
        assert scene.device.of("alert")[0].body["message"] == LLM_FAILED


def test_a_voice_that_stalls_is_shown_before_two_seconds_are_over() -> None:
    with stage(tts=ScriptedTts(delay_s=FOREVER)) as scene:
        play(scene, TypedRequest("Hi"))
        assert scene.device.of("tts sentence_start")[0].at < 2.0
        assert shown(scene) == "Hello there, my friend."
        assert scene.device.received[-1].at < 12.0


def test_model_and_voice_stall_together() -> None:
    with stage(tts=ScriptedTts(delay_s=FOREVER), llm=ScriptedLlm(FOREVER)) as scene:
        play(scene, TypedRequest("Hi"))
        assert scene.device.of("tts sentence_start")[0].at < 2.0
        assert scene.device.sentences[0] == FILLER


def test_one_sentence_that_cannot_be_spoken_does_not_silence_the_others() -> None:
    class Picky(ScriptedTts):
        async def synthesize(self, text, *, language):  # type: ignore[no-untyped-def]
            if "second" in text:
                raise OSError
            async for chunk in super().synthesize(text, language=language):
                yield chunk

    answer = "The first sentence comes first. The second comes after it. And the third is last."
    with stage(tts=Picky(), llm=ScriptedLlm(answer)) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert shown(scene) == answer
        assert outcome.heard == answer
        assert len(scene.device.frames) == 2 + 2 * 20
        assert scene.device.of("alert")[0].body["message"] == "The second comes after it."


def test_a_voice_that_never_ends_is_cut_off() -> None:
    with stage(tts=ScriptedTts(30.0), options=TurnOptions(max_sentence_audio_s=5.0)) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert "tts:nonsense" in outcome.errors


def test_fallbacks_can_be_spoken_by_a_dead_voice_once_they_were_warmed() -> None:
    async def scenario(scene: Stage, tts: ScriptedTts) -> None:
        assert await warm_phrases(scene.services, ["en", "zh"]) >= 6
        tts.failure = OSError()
        await scene.turn(TypedRequest("Hi")).run()
        assert len(scene.device.frames) > 10
        assert shown(scene) == LLM_FAILED
        assert scene.device.of("alert") == []

    tts = ScriptedTts()
    with stage(llm=ScriptedLlm(OSError()), tts=tts) as scene:
        run_virtual(scenario(scene, tts))


def test_warming_with_a_dead_voice_is_no_error() -> None:
    with stage(tts=ScriptedTts(failure=OSError())) as scene:
        assert run_virtual(warm_phrases(scene.services, ["en"])) == 0


def test_a_bug_in_an_output_still_ends_the_turn() -> None:
    """Not what the port allows; the stop must go out all the same."""

    async def scenario(scene: Stage) -> None:
        device = scene.device
        send_audio = device.send_audio

        def broken(packet: bytes, timestamp_ms: int) -> None:
            send_audio(packet, timestamp_ms)
            raise RuntimeError("a bug")

        device.send_audio = broken  # type: ignore[method-assign]
        with pytest.raises(BaseExceptionGroup):
            async with asyncio.timeout(30):
                await scene.turn(TypedRequest("Hi")).run()
        assert device.received[-1].kind == "tts stop"

    with stage() as scene:
        run_virtual(scenario(scene))


def test_a_log_that_hangs_for_ever_is_ended() -> None:
    async def scenario(scene: Stage) -> None:
        services = replace(scene.services)
        await scene.turn(TypedRequest("Hi")).run()
        assert len(services.background) == 1
        assert not await services.background.drain(0.5)
        assert len(services.background) == 0

    with stage(log=NotedLog(delay_s=FOREVER)) as scene:
        run_virtual(scenario(scene))


def test_a_spare_voice_speaks_what_the_chosen_one_cannot() -> None:
    with stage(tts=ScriptedTts(failure=OSError()), spare_tts=ScriptedTts()) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert scene.device.frames[0].at < 0.5
        assert shown(scene) == outcome.heard == "Hello there, my friend."
        assert scene.device.of("alert") == []
        assert set(outcome.errors) == {"tts:provider_failed"}


def test_a_dead_voice_is_not_asked_for_every_sentence_with_a_spare_either() -> None:
    dead, spare = ScriptedTts(failure=OSError()), ScriptedTts(0.3)
    with stage(tts=dead, spare_tts=spare, llm=ScriptedLlm("This is one of several sentences. " * 10)) as scene:
        play(scene, TypedRequest("Hi"))
        assert len(dead.asked) <= 4
        assert len(spare.asked) == len(scene.device.sentences) == 10


def test_a_voice_that_stalls_is_bridged_within_two_seconds_and_then_replaced() -> None:
    with stage(tts=ScriptedTts(delay_s=FOREVER), spare_tts=ScriptedTts()) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert scene.device.frames[0].at < 2.0
        assert shown(scene) == f"{FILLER} Hello there, my friend."
        assert outcome.heard == "Hello there, my friend."


def test_a_slow_voice_is_bridged_by_a_phrase_in_its_own_sound() -> None:
    async def scenario(scene: Stage, tts: ScriptedTts) -> None:
        await warm_phrases(scene.services, ["en"])
        tts.delay_s = 3.0
        began_at = asyncio.get_running_loop().time()
        outcome = await scene.turn(TypedRequest("Hi")).run()
        assert scene.device.frames[0].at - began_at < 2.0
        assert shown(scene) == f"{FILLER} Hello there, my friend."
        assert outcome.errors == ()

    tts = ScriptedTts()
    with stage(tts=tts) as scene:
        run_virtual(scenario(scene, tts))


def test_a_spare_voice_that_is_dead_too_leaves_the_answer_to_be_read() -> None:
    with stage(tts=ScriptedTts(delay_s=FOREVER), spare_tts=ScriptedTts(failure=OSError())) as scene:
        play(scene, TypedRequest("Hi"))
        assert scene.device.of("tts sentence_start")[0].at < 2.0
        assert scene.device.of("alert")[0].body["message"] == "Hello there, my friend."

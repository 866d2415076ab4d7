"""The way of one turn on a virtual clock: what the device gets, in which order and when, and what is kept."""

import asyncio
from itertools import pairwise

import pytest

from tests.support.virtual_time import run_virtual
from tests.unit.turn.turn_stage import (
    FRAME_S,
    RATE,
    NoAsr,
    NotedLog,
    ScriptedAsr,
    ScriptedLlm,
    ScriptedMemory,
    ScriptedTts,
    Stage,
    a_memory,
    stage,
    tone,
)
from xiaozhi_server.core.audio.opus import silence_packet
from xiaozhi_server.core.turn.turn import AnnounceRequest, Request, SpokenRequest, TurnOutcome, TypedRequest

SPEECH = SpokenRequest(tone(1.0), 16_000)


def play(scene: Stage, request: Request) -> TurnOutcome:
    return run_virtual(scene.turn(request).run())


def test_a_typed_turn_in_its_order() -> None:
    with stage(llm=ScriptedLlm("😀 Hello there, ", "my friend. ", "How are ", "you today?")) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        device = scene.device
        assert device.kinds == [
            "stt",
            "tts start",
            "llm",
            "audio",
            "tts sentence_start",
            "audio",
            "tts sentence_start",
            "audio",
            "tts stop",
        ]
        assert device.of("stt")[0].body == {"type": "stt", "text": "Hi", "session_id": "s-1"}
        assert device.of("llm")[0].body["emotion"] == "happy"
        assert device.sentences == ["Hello there,", "my friend. How are you today?"]
        assert outcome.kind == "done"
        assert outcome.heard == "Hello there, my friend. How are you today?"
        assert scene.said == [("user", "Hi"), ("assistant", outcome.heard)]


def test_a_spoken_turn_begins_with_what_was_understood() -> None:
    with stage(asr=ScriptedAsr("  What  time is it? ", delay_s=0.2)) as scene:
        outcome = play(scene, SPEECH)
        assert scene.device.kinds[:2] == ["stt", "tts start"]
        assert scene.device.received[0].at == pytest.approx(0.2)
        assert outcome.user_text == "What time is it?"


@pytest.mark.parametrize("text", ["", "  ", "…", "。"])
def test_where_nothing_was_said_nothing_is_sent(text: str) -> None:
    with stage(asr=ScriptedAsr(text)) as scene:
        assert play(scene, SPEECH).kind == "silent"
        assert scene.device.received == []
        assert scene.said == []
        assert scene.log.exchanges == []


def test_the_first_clause_does_not_wait_for_the_answer() -> None:
    llm = ScriptedLlm("Well, let me see, ", 1.0, "it is four o'clock.")
    with stage(llm=llm) as scene:
        play(scene, TypedRequest("Hi"))
        assert scene.device.frames[0].at < 0.1
        assert scene.device.sentences[0] == "Well, let me see,"


def test_two_silent_frames_come_first_and_only_once() -> None:
    with stage(llm=ScriptedLlm("Hello there, my friend. How are you doing today? Fine I hope, as always.")) as scene:
        play(scene, TypedRequest("Hi"))
        silence = silence_packet(RATE, 60)
        packets = [frame.packet for frame in scene.device.frames]
        assert packets[:2] == [silence, silence]
        assert silence not in packets[2:]


def test_frames_are_paced_on_an_absolute_clock_with_a_small_lead() -> None:
    with stage(tts=ScriptedTts(6.0)) as scene:
        play(scene, TypedRequest("Hi"))
        times = [frame.at for frame in scene.device.frames]
        assert len(times) == 2 + 2 * 100
        started = times[0]
        assert [at - started for at in times[:5]] == [0.0] * 5
        for index, sent_at in enumerate(times[5:], start=6):
            outstanding = index - (sent_at - started) / FRAME_S
            assert 4.8 <= outstanding <= 5.2
        assert all(later >= earlier for earlier, later in pairwise(times))


def test_the_stop_comes_at_the_end_of_playback() -> None:
    with stage(tts=ScriptedTts(1.2), llm=ScriptedLlm("Hello.")) as scene:
        play(scene, TypedRequest("Hi"))
        frames = scene.device.frames
        heard_until = frames[0].at + len(frames) * FRAME_S
        stop = scene.device.of("tts stop")[0].at
        assert heard_until < stop <= heard_until + 2 * FRAME_S


def test_one_start_one_stop_one_face_however_long_the_answer() -> None:
    with stage(llm=ScriptedLlm("I like it. 😎 " * 12)) as scene:
        play(scene, TypedRequest("Hi"))
        for kind in ("stt", "llm", "tts start", "tts stop"):
            assert len(scene.device.of(kind)) == 1, kind
        assert scene.device.received[-1].kind == "tts stop"


def test_an_answer_without_emoji_has_a_neutral_face() -> None:
    with stage() as scene:
        play(scene, TypedRequest("Hi"))
        assert scene.device.of("llm")[0].body["emotion"] == "neutral"


def test_speech_is_asked_for_ahead_but_not_further_than_two() -> None:
    tts = ScriptedTts(3.0, delay_s=0.3)
    with stage(tts=tts, llm=ScriptedLlm("This is one of several sentences. " * 8)) as scene:
        play(scene, TypedRequest("Hi"))
        assert len(tts.asked) > 5
        assert tts.most_under_way == 3
        gaps = [later.at - earlier.at for earlier, later in pairwise(scene.device.frames)]
        assert max(gaps) < 2 * FRAME_S, "the device ran dry between sentences"


def test_pieces_are_spoken_in_order_even_if_a_later_one_is_ready_first() -> None:
    class Uneven(ScriptedTts):
        async def synthesize(self, text, *, language):  # type: ignore[no-untyped-def]
            self.delay_s = 0.5 if not self.asked else 0.0
            async for chunk in super().synthesize(text, language=language):
                yield chunk

    answer = "The first sentence comes first. The second comes after it. And the third is last."
    with stage(tts=Uneven(), llm=ScriptedLlm(answer)) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert outcome.heard == answer
        assert " ".join(scene.device.sentences) == answer


def test_many_small_chunks_of_sound_are_encoded_completely() -> None:
    tts = ScriptedTts(2.4)
    tts.chunk_bytes = 1_001
    with stage(tts=tts, llm=ScriptedLlm("Hello.")) as scene:
        play(scene, TypedRequest("Hi"))
        assert len(scene.device.frames) == 2 + 40


def test_thoughts_markdown_and_links_are_neither_spoken_nor_kept() -> None:
    answer = ("<thi", "nk>secret plan</th", "ink>**Yes**, see [the page](https://x.example/a.b). ", "`Done` now 🎉!")
    with stage(llm=ScriptedLlm(*answer)) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert outcome.heard == "Yes, see the page. Done now!"
        assert scene.said[-1] == ("assistant", outcome.heard)


def test_the_exchange_is_written_down_before_the_stop() -> None:
    log = NotedLog(delay_s=0.1)
    with stage(log=log) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        exchange = log.exchanges[0]
        assert [(line.role, line.content) for line in exchange.lines] == [("user", "Hi"), ("assistant", outcome.heard)]
        assert exchange.outcome == "done"
        assert exchange.lines[0].spoken_at < exchange.lines[1].spoken_at
        assert log.recorded_at[0] < scene.device.of("tts stop")[0].at


def test_a_slow_log_delays_the_stop_for_a_bounded_time_and_goes_on_beside() -> None:
    async def scenario(scene: Stage) -> None:
        await scene.turn(TypedRequest("Hi")).run()
        last_frame = scene.device.frames[-1].at
        assert scene.device.of("tts stop")[0].at == pytest.approx(last_frame + 1.5, abs=0.1)
        assert scene.log.exchanges == []
        assert await scene.services.background.drain(10.0)
        assert len(scene.log.exchanges) == 1

    with stage(log=NotedLog(delay_s=4.0)) as scene:
        run_virtual(scenario(scene))


def test_a_log_that_fails_does_not_hurt_the_turn() -> None:
    with stage(log=NotedLog(failure=OSError("disk"))) as scene:
        assert play(scene, TypedRequest("Hi")).kind == "done"
        assert scene.device.received[-1].kind == "tts stop"


def test_recalled_lines_reach_the_model_as_evidence() -> None:
    llm = ScriptedLlm("Teal.")
    memory = ScriptedMemory([a_memory("My favourite colour is teal.")])
    with stage(llm=llm, memory=memory) as scene:
        play(scene, TypedRequest("What is my favourite colour?"))
        system, evidence, question = llm.asked[0]
        assert system.role == "system" and system.content.startswith("You are kind.")
        assert "<memory>\n[2025-03-04 05:06:07] My favourite colour is teal.\n</memory>" in evidence.content
        assert (question.role, question.content) == ("user", "What is my favourite colour?")
        assert memory.queries == ["What is my favourite colour?"]


@pytest.mark.parametrize(
    ("memory", "error"),
    [
        (ScriptedMemory(delay_s=5.0), "recall:timeout"),
        (ScriptedMemory(failure=OSError("down")), "recall:provider_failed"),
    ],
)
def test_a_memory_that_is_late_or_down_never_stops_the_talk(memory: ScriptedMemory, error: str) -> None:
    with stage(memory=memory) as scene:
        outcome = play(scene, TypedRequest("Hi"))
        assert outcome.kind == "done"
        assert outcome.errors == (error,)
        assert scene.device.frames[0].at < 0.15


def test_the_model_hears_the_dialogue_so_far() -> None:
    llm = ScriptedLlm("Fine, thank you.")

    async def scenario(scene: Stage) -> None:
        await scene.turn(TypedRequest("How are you?")).run()
        await scene.turn(TypedRequest("Really?")).run()

    with stage(llm=llm) as scene:
        run_virtual(scenario(scene))
        assert [(m.role, m.content) for m in llm.asked[1][1:]] == [
            ("user", "How are you?"),
            ("assistant", "Fine, thank you."),
            ("user", "Really?"),
        ]


def test_an_announcement_is_spoken_without_a_model_and_not_written_down() -> None:
    llm = ScriptedLlm("never")
    with stage(llm=llm) as scene:
        outcome = play(scene, AnnounceRequest("Goodbye, see you soon."))
        assert outcome.kind == "done"
        assert llm.asked == []
        assert scene.device.kinds[0] == "tts start"
        assert scene.device.sentences == ["Goodbye,", "see you soon."]
        assert (scene.said, scene.log.exchanges) == ([], [])


def test_an_exit_command_is_answered_with_a_goodbye() -> None:
    llm = ScriptedLlm("never")
    with stage(llm=llm, asr=ScriptedAsr("exit"), language="zh-CN") as scene:
        outcome = play(scene, SPEECH)
        assert outcome.farewell
        assert "".join(scene.device.sentences) == "再见，下次再聊。"
        assert llm.asked == []
        assert (scene.said, scene.log.exchanges) == ([], [])


@pytest.mark.parametrize(("language", "word"), [("en", "recogniser"), ("zh", "语音识别")])
def test_who_speaks_without_a_recogniser_hears_what_to_set_up(language: str, word: str) -> None:
    with stage(asr=NoAsr(), language=language) as scene:
        outcome = play(scene, SPEECH)
        assert outcome.errors == ("asr:not_configured",)
        assert word in "".join(scene.device.sentences)
        assert len(scene.device.frames) > 10
        assert scene.device.received[-1].kind == "tts stop"
        assert scene.log.exchanges == []


def test_many_turns_share_one_timer() -> None:
    async def scenario(scene: Stage) -> None:
        devices = [Stage(scene.services, "en", None) for _ in range(40)]
        outcomes = await asyncio.gather(*(one.turn(TypedRequest("Hi")).run() for one in devices))
        assert {outcome.kind for outcome in outcomes} == {"done"}
        for one in devices:
            times = [frame.at for frame in one.device.frames]
            assert all(index - (at - times[0]) / FRAME_S <= 5.2 for index, at in enumerate(times, start=1))

    with stage() as scene:
        run_virtual(scenario(scene))

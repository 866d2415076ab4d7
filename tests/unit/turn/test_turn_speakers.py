"""Who speaks, and what is no question: names on their way to model and memory, wake words that a recogniser hears."""

import pytest

from tests.support.virtual_time import run_virtual
from tests.unit.turn.turn_stage import ScriptedAsr, ScriptedLlm, ScriptedMemory, stage, tone
from xiaozhi_server.core.turn.turn import Request, SpokenRequest, TypedRequest

SPEECH = SpokenRequest(tone(1.0), 16_000)
WRAPPED = '{"speaker": "Ann", "content": "I like teal."}'


@pytest.mark.parametrize(
    ("asr", "request_"),
    [
        (ScriptedAsr("I like teal.", speaker=" Ann\n"), SPEECH),
        (ScriptedAsr(WRAPPED), SPEECH),
        (ScriptedAsr(), TypedRequest(WRAPPED)),
    ],
)
def test_a_known_voice_reaches_model_and_memory_by_its_name(asr: ScriptedAsr, request_: Request) -> None:
    llm, memory = ScriptedLlm("Noted."), ScriptedMemory()
    with stage(asr=asr, llm=llm, memory=memory) as scene:
        run_virtual(scene.turn(request_).run())
        assert scene.device.of("stt")[0].body["text"] == "I like teal."
        assert llm.asked[0][-1].told == "Ann: I like teal."
        assert "the name of the person stands before their words" in llm.asked[0][0].content
        assert (memory.queries, memory.speakers) == (["I like teal."], ["Ann"])
        lines = scene.log.exchanges[0].lines
        assert [(line.content, line.speaker) for line in lines] == [("I like teal.", "Ann"), ("Noted.", None)]


@pytest.mark.parametrize(
    "asr",
    [
        ScriptedAsr("I like teal."),
        ScriptedAsr("I like teal.", speaker="未知说话人"),
        ScriptedAsr('{"speaker": "unknown", "content": "I like teal."}'),
    ],
)
def test_an_unknown_voice_has_no_name(asr: ScriptedAsr) -> None:
    llm, memory = ScriptedLlm("Noted."), ScriptedMemory()
    with stage(asr=asr, llm=llm, memory=memory) as scene:
        run_virtual(scene.turn(SPEECH).run())
        assert llm.asked[0][-1].told == "I like teal."
        assert "name" not in llm.asked[0][0].content
        assert memory.speakers == [None]
        assert scene.log.exchanges[0].lines[0].speaker is None


def test_silence_in_a_wrapping_is_silence() -> None:
    with stage(asr=ScriptedAsr('{"speaker": "Ann", "content": " … "}')) as scene:
        assert run_virtual(scene.turn(SPEECH).run()).kind == "silent"
        assert scene.log.exchanges == []


@pytest.mark.parametrize("heard", ["Hey Robot", '{"speaker": "Ann", "content": "Hey Robot"}'])
def test_a_wake_word_that_the_recogniser_hears_is_no_question(heard: str) -> None:
    llm, memory = ScriptedLlm("Yes?"), ScriptedMemory()
    with stage(asr=ScriptedAsr(heard), llm=llm, memory=memory) as scene:
        assert run_virtual(scene.turn(SPEECH).run()).kind == "silent"
        assert scene.device.received == []
        assert (llm.asked, memory.queries, scene.said, scene.log.exchanges) == ([], [], [], [])


def test_it_is_greeted_where_wake_words_are() -> None:
    llm = ScriptedLlm("Yes?")
    with stage(asr=ScriptedAsr("Hey Robot"), llm=llm, greeting="I am listening.") as scene:
        outcome = run_virtual(scene.turn(SPEECH).run())
        assert (outcome.kind, scene.device.sentences) == ("done", ["I am listening."])
        assert (llm.asked, scene.said, scene.log.exchanges) == ([], [], [])

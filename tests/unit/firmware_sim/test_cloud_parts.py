"""The stand-in cloud's rules without HTTP: what the model says, what the recogniser hears, how faults count."""

import random
import subprocess
import sys
from typing import Literal

import pytest

from firmware_sim.cloud.answers import answer, turn_round
from firmware_sim.cloud.faults import GOOD, Fault, Faults
from firmware_sim.cloud.listening import Recogniser
from firmware_sim.opus import decode_speech, encode_speech
from firmware_sim.phrases import draw_facts, vocabulary
from firmware_sim.speech import speak


def said(*texts: str) -> str:
    return answer([{"role": "user", "content": text} for text in texts]).text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_fact_is_found_among_the_others(language: Literal["en", "zh"]) -> None:
    for seed in range(20):
        facts = draw_facts(random.Random(seed), language, 4)
        lines = "\n".join(f"[2026-01-0{index + 1} 08:00:00] {fact.statement}" for index, fact in enumerate(facts))
        for fact in facts:
            assert fact.answer in said(f"<memory>\n{lines}\n</memory>\n{fact.question}")
            assert fact.answer not in said(fact.question)


def test_the_newest_line_wins() -> None:
    memory = "<memory>\n[2026-01-02 08:00:00] I live in Oslo.\n[2026-01-01 08:00:00] I live in Cairo.\n</memory>"
    assert said(memory + "Where do I live?") == "You live in Oslo."


def test_own_words_and_questions_are_no_facts() -> None:
    lines = ["What is my favourite colour?", "I do not know your favourite colour.", "assistant: Noted: your colour."]
    assert said(f"<memory>{chr(10).join(lines)}</memory> What is my favourite colour?") == "I do not know that yet."


def test_statements_are_noted_and_the_rest_echoed() -> None:
    assert said("My dog is called Rex.") == "Noted: Your dog is called Rex."
    assert said("The sky.") == "You said: The sky."
    assert said("我住在上海。") == "记住了，你住在上海。"
    assert turn_round("I am Ann") == "You are Ann"


def test_tools_are_called_by_a_part_of_their_name() -> None:
    tools = [{"function": {"name": "self_audio_set_volume"}}]
    asked = [{"role": "user", "content": 'call volume with {"volume": 5}'}]
    call = answer(asked, tools).call
    assert call is not None
    assert (call.name, call.arguments) == ("self_audio_set_volume", '{"volume": 5}')
    assert answer([*asked, {"role": "tool", "content": "true"}], tools).text == "The tool answered: true"


def test_a_fault_counts_its_requests() -> None:
    faults = Faults()
    faults.chat = Fault(status=500, times=2)
    assert [faults.take("chat").status for _ in range(3)] == [500, 500, 200]
    assert faults.take("speech") is GOOD


def test_the_whole_vocabulary_is_heard_through_the_codec() -> None:
    recogniser = Recogniser(vocabulary())
    wrong = []
    for phrase in random.Random(1).sample(vocabulary(), 20):
        pcm, _ = decode_speech(encode_speech(bytes(6000) + speak(phrase) + bytes(9000)), 16_000)
        if recogniser.transcribe(pcm) != phrase:
            wrong.append(phrase)
    assert len(wrong) <= 1, wrong  # the voice is never quite the same twice


def test_what_is_not_in_the_vocabulary_is_not_heard() -> None:
    assert Recogniser(["Hello.", "I live in Oslo."]).transcribe(speak("A quite different sentence about ships")) == ""


def test_the_voice_does_not_share_a_library_with_anybody() -> None:
    """Another user of espeak in the same process, on a thread of its own, must not meet ours.

    In a process of its own: the other user would meet this one's other voice too.
    """
    done = subprocess.run([sys.executable, "-c", TWO_VOICES], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lengths = set(map(int, done.stdout.split()))
    assert min(lengths) > 10
    assert max(lengths) - min(lengths) <= 2


TWO_VOICES = """
import ctypes, threading
import espeakng_loader
from firmware_sim.speech import speak

other = ctypes.CDLL(str(espeakng_loader.get_library_path()))
heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(lambda *_: 0)
assert other.espeak_Initialize(2, 0, str(espeakng_loader.get_data_path()).encode(), 0) == 22_050
other.espeak_SetSynthCallback(heard)

def speak_with_the_other():
    for _ in range(20):
        text = b"Something else entirely."
        other.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 1, 0, 1, None, None)

thread = threading.Thread(target=speak_with_the_other)
thread.start()
print(*(len(speak.__wrapped__("Hello there.")) // 640 for _ in range(20)))
thread.join()
"""

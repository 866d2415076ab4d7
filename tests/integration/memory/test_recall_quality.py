"""What the quality benchmark measures, on a dialogue and a household of our own, through the real engine."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.concepts import ConceptEmbedder, NoMeaning
from bench.dialogues import read_dialogues
from bench.household import read_household
from bench.recall import ask_dialogue, ask_household, figures, household_figures
from xiaozhi_server.core.providers.memory.mem0ai import MiniLmEmbedder

SESSIONS = {
    "1:56 pm on 8 May, 2023": (
        ("Ida", "Hey Otto! I went to a pottery class yesterday, it was so calming."),
        ("Otto", "Wow, Ida! Sounds lovely. What did you make there?"),
        ("Ida", "A green bowl with two handles."),
        ("Otto", "I have been busy with the boat, the mast broke in the storm."),
        ("Ida", "Oh no! Can it be repaired?"),
        ("Otto", "Yes, my cousin is a carpenter and will come at the weekend."),
    ),
    "9:10 am on 17 August, 2023": (
        ("Otto", "Good morning, Ida! We sailed to the lighthouse last Sunday."),
        ("Ida", "Great, Otto! I am training for the half marathon in Bergen."),
        ("Otto", "How often do you run?"),
        ("Ida", "Four times a week, mostly along the river."),
    ),
    "7:30 pm on 2 October, 2023": (
        ("Ida", "I had to see the doctor because of my knee."),
        ("Otto", "Sorry to hear that, Ida. I adopted a parrot, she is called Mirabelle."),
        ("Ida", "That is a pretty name."),
    ),
}
QUESTIONS: tuple[tuple[str, int, list[str]], ...] = (
    ("What did Ida make in the pottery class?", 4, ["D1:3"]),
    ("Who is going to fix Otto's boat?", 4, ["D1:6"]),
    ("How many times a week does Ida go running?", 4, ["D2:4"]),
    ("What is the name of Otto's bird?", 1, ["D3:2"]),
    ("Which health problem did Ida have in October 2023?", 2, ["D3:1"]),
    ("What hobbies does Ida have?", 1, ["D1:1; D2:2"]),
    ("Where did Otto sail to?", 4, ["D2:1"]),
    ("What did Otto eat?", 5, ["D2:1"]),
    ("What is not there?", 4, ["D9:1"]),
)


@pytest.fixture
def dialogue_file(tmp_path: Path) -> Path:
    conversation: dict[str, Any] = {"speaker_a": "Ida", "speaker_b": "Otto"}
    for number, (moment, lines) in enumerate(SESSIONS.items(), 1):
        conversation[f"session_{number}_date_time"] = moment
        conversation[f"session_{number}"] = [
            {"speaker": speaker, "dia_id": f"D{number}:{place}", "text": text}
            for place, (speaker, text) in enumerate(lines, 1)
        ]
    conversation["session_4_date_time"] = "1:00 pm on 3 October, 2023"
    asked = [{"question": text, "category": category, "evidence": turns} for text, category, turns in QUESTIONS]
    file = tmp_path / "dialogues.json"
    file.write_text(json.dumps([{"sample_id": "tiny", "conversation": conversation, "qa": asked}]), "utf-8")
    return file


async def test_a_dialogue_is_remembered_as_it_was_said(
    start_engine: Any, minilm: MiniLmEmbedder, dialogue_file: Path
) -> None:
    (dialogue,) = read_dialogues(dialogue_file)
    assert [len(session.turns) for session in dialogue.sessions] == [6, 4, 3]
    assert len(dialogue.questions) == len(QUESTIONS) - 2  # one is of the fifth category, one has no turn that is there
    async with start_engine(minilm) as engine:
        answered = figures(await ask_dialogue(engine, dialogue))
        kept = await engine.get_all(user_id="tiny")
    assert answered["questions"] == 7
    assert answered["recall@5"] >= 0.9
    assert answered["session hit@10"] == 1.0
    assert {(one.speaker, one.session_id, f"{one.created_at:%Y-%m-%d %H:%M}") for one in kept} == {
        (speaker, f"session_{number}", moment)
        for speaker in ("Ida", "Otto")
        for number, moment in enumerate(("2023-05-08 13:56", "2023-08-17 09:10", "2023-10-02 19:30"), 1)
    }


async def test_a_chinese_household_is_found_by_its_words(start_engine: Any) -> None:
    household = read_household()
    assert len({line.id for day in household.days for line in day if line.id}) >= 60
    assert len(household.questions) >= 60
    async with start_engine(NoMeaning()) as engine:
        found = household_figures(await ask_household(engine, household))
    assert found["shared > 1"]["recall@5"] >= 0.9
    assert 0.3 < found["shared <= 1"]["questions"] / len(household.questions) < 0.4


async def test_meaning_finds_in_chinese_what_shares_no_words(start_engine: Any) -> None:
    async with start_engine(ConceptEmbedder()) as engine:
        found = household_figures(await ask_household(engine, read_household()))
    assert found["shared > 1"]["recall@5"] >= 0.9
    assert found["shared <= 1"]["recall@5"] >= 0.9

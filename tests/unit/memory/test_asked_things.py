"""Whom and what a question is about: by any of their names, or step by step by how they are related."""

import random
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xiaozhi_server.core.providers.memory.mem0ai.finding.thing_links import NO_LINKS, links_in
from xiaozhi_server.core.providers.memory.mem0ai.recall.asked_things import asked_things
from xiaozhi_server.core.providers.memory.mem0ai.recall.folding import folded
from xiaozhi_server.core.providers.memory.mem0ai.recall.relation_words import kind_of
from xiaozhi_server.core.providers.memory.mem0ai.recall.things import (
    NOTHING_KNOWN,
    SELF,
    Relation,
    Thing,
    Things,
    names_of,
)
from xiaozhi_server.core.providers.memory.mem0ai.recall.words import tokens_of

NOW_S = 1_000.0
NAMES = (SELF, "Anna", "Tom Miller", "安娜", "小李", "Will", "Rex", "Eva", "王芳", "Gus", "tea", "Li Wei")
ALSO = {"Anna": ("Annie", "Ann"), "Tom Miller": ("Tom",)}


def thing(name: str, agent_id: str = "bot") -> Thing:
    names = (name, *ALSO.get(name, ()))
    return Thing(UUID(int=NAMES.index(name) + 1), agent_id, names, tuple(folded(one).strip() for one in names))


def related(subject: str, relation: str, object: str, ends_at_s: float | None = None) -> Relation:
    return Relation(thing(subject).id, relation, thing(object).id, ends_at_s)


HOUSEHOLD = Things(
    [thing(name) for name in NAMES],
    [
        related("Anna", "older sister", SELF),
        related("Tom Miller", "husband", "Anna"),
        related("安娜", "姐姐", SELF),
        related("小李", "老公", "安娜"),
        related("Rex", "Dog", SELF),
        related("Eva", "mother-in-law", SELF),
        related("王芳", "最好的朋友", SELF),
        related("Gus", "boss", SELF, 900.0),
        related(SELF, "neighbour", "Li Wei"),
    ],
)


def asked(
    text: str, known: Things = HOUSEHOLD, agents: tuple[str, ...] | None = ("bot",), past: bool = False
) -> set[str]:
    return {one.names[0] for one in asked_things(text, known, agents, None if past else NOW_S)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What does my sister like?", {"Anna", "安娜"}),
        ("What does my dear little sister like?", {"Anna", "安娜"}),
        ("My sister's husband, what does he do?", {"Tom Miller", "小李"}),
        ("Where does the husband of my sister work?", {"Tom Miller", "小李"}),
        ("Who is Anna's husband?", {"Tom Miller"}),
        ("Who is Tom Miller’s wife?", {"Anna"}),
        ("What is my dog's name?", {"Rex"}),
        ("What does my mother in law like?", {"Eva"}),
        ("Does my neighbor have a car?", {"Li Wei"}),
        ("我姐姐喜欢什么？", {"安娜"}),
        ("我姐喜欢什么", {"Anna", "安娜"}),
        ("姐姐喜欢什么", {"安娜"}),
        ("我的姐姐的丈夫叫什么？", {"小李"}),
        ("我姐姐老公在哪里工作？", {"小李"}),
        ("我最好的朋友住在哪里", {"王芳"}),
        ("我朋友和我姐姐去哪里", {"王芳", "安娜"}),
        ("Anna的丈夫是谁", {"Tom Miller"}),
    ],
)
def test_relations_lead_to_people(text: str, names: set[str]) -> None:
    assert asked(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What does Annie eat?", {"Anna"}),
        ("what does annie eat", {"Anna"}),
        ("Do Tom and ANNA drink tea?", {"Anna", "Tom Miller", "tea"}),
        ("Who is Tom Miller?", {"Tom Miller"}),
        ("安娜去哪里", {"安娜"}),
        ("What does Will do?", {"Will"}),
        ("Will it rain?", set()),
        ("What will I do?", set()),
        ("An annual thing, annex", set()),
        ("What do I like?", set()),
        ("self", set()),
    ],
)
def test_names_are_whole_and_written_as_names(text: str, names: set[str]) -> None:
    assert asked(text) == names


def test_who_is_not_known_leaves_who_is() -> None:
    assert asked("What does my sister's boss say?") == {"Anna", "安娜"}
    assert asked("What does my brother like?") == set()
    assert asked("What does my brother's dog eat?", Things([thing(SELF), thing("Rex")], [])) == set()


def test_what_has_ended_counts_for_the_past_alone() -> None:
    assert asked("Who is my boss?") == set()
    assert asked("Who was my boss?", past=True) == {"Gus"}


def test_only_what_these_agents_heard() -> None:
    other = Thing(UUID(int=77), "tutor", ("Anna of the tutor", "Anna"), ("anna of the tutor", "anna"))
    both = Things([*HOUSEHOLD.things, other], HOUSEHOLD.relations)
    assert asked("Anna", both) == {"Anna"}
    assert asked("Anna", both, ("tutor",)) == {"Anna of the tutor"}
    assert asked("Anna", both, ("tutor", "bot")) == asked("Anna", both, None) == {"Anna", "Anna of the tutor"}
    assert asked("What does my sister like?", both, ("tutor",)) == set()
    assert asked("Anna", NOTHING_KNOWN) == set()


def test_all_names_weigh_less_than_a_word_of_the_question() -> None:
    weights = names_of([thing("Anna"), thing(SELF)][:1])
    assert set(weights) == {*tokens_of("Anna Annie Ann")}
    assert sum(weights.values()) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("relation", "kind"),
    [
        ("Sisters", "sister"),
        ("is the younger sister of", "sister"),
        ("亲姐姐", "sister"),
        ("best friend", "friend"),
        ("Brother-in-law", "brotherinlaw"),
        ("works at", "work"),
        ("", ""),
        ("...", ""),
    ],
)
def test_relations_are_of_a_kind(relation: str, kind: str) -> None:
    assert kind_of(relation) == kind


PIECES = (
    "my ",
    "sister",
    "'s ",
    "husband",
    " of ",
    "Anna",
    "我",
    "姐姐",
    "的",
    "老公",
    "安娜",
    " the ",
    "Will ",
    "friend",
    "?",
)


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_every_question_is_read_to_its_end(text: str) -> None:
    found = asked_things(text, HOUSEHOLD, None, NOW_S)
    assert len({one.id for one in found}) == len(found)
    assert not any(one.is_owner for one in found)


@given(
    st.sampled_from(["Anna", "Annie", "Tom", "王芳"]), st.text("xyz ,.", max_size=20), st.text("xyz ,.", max_size=20)
)
def test_a_name_is_found_anywhere(name: str, before: str, behind: str) -> None:
    (found,) = asked_things(f"{before} {name} {behind}", HOUSEHOLD, ["bot"], NOW_S)
    assert name in found.names


@pytest.mark.parametrize("seed", range(4))
def test_links_tell_which_rows_are_about_a_thing(seed: int) -> None:
    dice = random.Random(seed)
    ids = [UUID(int=dice.getrandbits(66) << 62 | number % 3) for number in range(40)]
    pairs = [(dice.choice(ids), UUID(int=dice.randrange(1, 6))) for _ in range(dice.choice([0, 1, 60]))]
    links = links_in(b"".join(memory.bytes + other.bytes for memory, other in pairs) or None)
    rows = np.frombuffer(b"".join(id.bytes for id in ids), ">u8").reshape(-1, 2).astype(np.uint64)
    for things in (set(), {UUID(int=1)}, {UUID(int=2), UUID(int=5)}, {UUID(int=99)}):
        linked = {memory for memory, other in pairs if other in things}
        flags = links.about(things, rows)
        assert (flags is None) == (not linked)
        assert flags is None or flags.tolist() == [id in linked for id in ids]


def test_no_links_are_no_flags() -> None:
    assert NO_LINKS.about({UUID(int=1)}, np.zeros((2, 2), np.uint64)) is None

"""What a model takes for the same and is not believed: one word decides."""

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.facts.alike import about_the_same, may_be_one


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("A son of mine studies history.", "A son of mine studies chemistry.", 0.8),
        ("Lives in Munich near the park.", "Lives in Munich city centre.", 0.9),
        ("从来不吃菠菜。", "从来不吃芹菜。", None),
        ("喜欢喝绿茶。", "喜欢喝豆浆。", None),
    ],
)
def test_what_begins_alike_and_ends_otherwise_is_two(one: str, other: str, near: float | None) -> None:
    assert not may_be_one(one, other, near)


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("Gets an allergic reaction from penicillin.", "Has an allergy to penicillin.", 0.8),
        ("Is scared of snakes.", "Is afraid of snakes.", 0.9),
        ("穿39码的鞋。", "穿鞋要穿39码。", None),
        ("很害怕蜘蛛。", "害怕蜘蛛。", None),
    ],
)
def test_other_wordings_of_it_are_one(one: str, other: str, near: float | None) -> None:
    assert may_be_one(one, other, near)


def test_a_distant_wording_can_still_end_another_fact() -> None:
    near = {"Works as a pilot.": 0.36, "Is afraid of thunder.": 0.09}
    believed = [old for old in near if about_the_same("Became a nurse.", old, near[old], people=(), shares_thing=False)]
    assert believed == ["Works as a pilot."]


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("车换成奥迪了。", "开一辆丰田。"),
        ("换号码了，现在是13755667788。", "打我手机就打15811223344。"),
        ("改行做面包师了。", "工作是会计师。"),
    ],
)
def test_one_side_of_a_life_needs_no_word_in_common(new: str, old: str) -> None:
    assert about_the_same(new, old, None, people=(), shares_thing=False)

"""Which facts are one, which one can end another, and which are neither, in English and Chinese."""

import pytest

from xiaozhi_server.core.providers.memory.mem0ai.facts.alike import (
    about_the_same,
    adds_only_words,
    are_one,
    may_be_one,
)

ONE = [
    ("Is scared of thunder.", "Has a fear of thunder."),
    ("I like green tea.", "I LIKE green tea"),
    ("I like green tea.", "I really like green tea!"),
    ("I like green tea.", "I love green tea."),
    ("Likes green tea.", "I like green tea."),
    ("My mum lives in Rome.", "My mother lives in Rome."),
    ("I have two cats.", "I have 2 cats."),
    ("I bought a new bike.", "I bought a new bicycle."),
    ("My favourite color is teal.", "My favorite colour is teal."),
    ("I don't like tea.", "I do not like tea."),
    ("I am employed at Siemens.", "I work for Siemens."),
    ("我喜欢喝绿茶。", "我喜欢喝绿茶"),
    ("我養了兩隻貓。", "我养了两只猫。"),
    ("我妈妈住在罗马。", "我母亲住在罗马。"),
    ("我老婆是医生。", "我太太是大夫。"),
    ("我有2个孩子。", "我有两个孩子。"),
]
DIFFERENT = [
    ("I have two cats.", "I have two dogs."),
    ("I have two cats.", "I have three cats."),
    ("I like tea.", "I do not like tea."),
    ("I like tea.", "I never liked tea."),
    ("I like tea.", "I like coffee."),
    ("I like tea.", "She likes tea."),
    ("I like tea.", "We like tea."),
    ("Anna likes Tom.", "Tom likes Anna."),
    ("Anna likes tea.", "Tom likes tea."),
    ("Anna likes tea.", "Anna's mother likes tea."),
    ("My brother is a doctor.", "My sister is a doctor."),
    ("I live in Berlin.", "I lived in Berlin before."),
    ("I was a teacher.", "I am a teacher."),
    ("I will move to Berlin.", "I moved to Berlin."),
    ("I get up at 6.", "I get up at 7."),
    ("My car is red.", "My car is blue."),
    ("I play football on Monday.", "I play football on Tuesday."),
    ("I start work at nine.", "I stop work at nine."),
    ("A letter from Anna came.", "A letter for Anna came."),
    ("My phone number is 5551234.", "My phone number is 5551235."),
    ("My son is called Tom.", "My daughter is called Tom."),
    ("I turn left at the church.", "I turn right at the church."),
    ("我喜欢喝茶。", "我不喜欢喝茶。"),
    ("我喜欢喝茶。", "我喜欢喝咖啡。"),
    ("我养了两只猫。", "我养了三只猫。"),
    ("我养了两只猫。", "我养了两只狗。"),
    ("我哥哥是医生。", "我姐姐是医生。"),
    ("安娜喜欢汤姆。", "汤姆喜欢安娜。"),
    ("我住在柏林。", "我以前住在柏林。"),
    ("我周一踢足球。", "我周二踢足球。"),
    ("我会搬到上海。", "我搬到上海了。"),
]
SAID_TO_BE_ONE = [
    ("养了一条狗，叫豆豆。", "狗的名字叫豆豆。"),
    ("Green tea is what I like.", "I like green tea."),
    ("I am fond of hiking in the mountains.", "Hikes in the mountains are my passion."),
    ("My dog's name is Rex.", "I have a dog called Rex."),
    ("Is allergic to peanuts and nuts.", "Has a peanut allergy."),
    ("我很爱喝绿茶。", "绿茶是我最喜欢喝的。"),
    ("我在西门子公司上班。", "我工作的公司是西门子公司。"),
]


def as_far_as_meaning_goes(near: float | None) -> str:
    return f"near={near}"


@pytest.mark.parametrize("near", [None, 0.97], ids=as_far_as_meaning_goes)
@pytest.mark.parametrize(("one", "other"), ONE)
def test_what_says_the_same_is_one(one: str, other: str, near: float | None) -> None:
    assert are_one(one, other, near)
    assert are_one(other, one, near)
    assert may_be_one(one, other, near)


@pytest.mark.parametrize("near", [None, 0.5, 0.97], ids=as_far_as_meaning_goes)
@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs_is_never_one(one: str, other: str, near: float | None) -> None:
    assert not are_one(one, other, near)
    assert not are_one(other, one, near)


ONLY_BY_TENSE = (
    "I was a teacher.",
    "I lived in Berlin before.",
    "I will move to Berlin.",
    "我以前住在柏林。",
    "我会搬到上海。",
)


@pytest.mark.parametrize("near", [None, 0.7], ids=as_far_as_meaning_goes)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        pair
        for pair in DIFFERENT
        if not {*pair}
        & {
            *ONLY_BY_TENSE,
            "She likes tea.",
            "We like tea.",
            "A letter for Anna came.",
            "Tom likes Anna.",
            "汤姆喜欢安娜。",
        }
    ],
)
def test_a_model_s_word_does_not_make_them_one(one: str, other: str, near: float | None) -> None:
    assert not may_be_one(one, other, near)
    assert not may_be_one(other, one, near)


@pytest.mark.parametrize(("one", "other"), SAID_TO_BE_ONE)
def test_paraphrases_are_one_where_the_model_says_so(one: str, other: str) -> None:
    assert may_be_one(one, other, None)
    assert may_be_one(other, one, None)
    assert not are_one(one, other, None)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("Moved to Berlin.", "Lives in Munich."),
        ("Works at Bosch now.", "Works at Siemens."),
        ("Favourite colour is green now.", "Favourite colour is blue."),
        ("Does not like coffee any more.", "Likes coffee."),
        ("Has three cats now.", "Has two cats."),
        ("Got divorced.", "Is married to Tom."),
        ("I moved to Berlin, to my sister Anna.", "I live in Munich."),
        ("Became a vegetarian.", "Likes to eat meat."),
        ("My sister moved to Rome.", "My sister lives in Paris."),
        ("She moved to Rome.", "My sister lives in Paris."),
        ("搬到柏林了。", "住在慕尼黑。"),
        ("现在在华为上班。", "在腾讯工作。"),
        ("不再喝咖啡了。", "喜欢喝咖啡。"),
        ("最喜欢的颜色是绿色。", "最喜欢的颜色是蓝色。"),
        ("离婚了。", "和小王结婚了。"),
    ],
)
def test_a_fact_can_end_another_about_the_same(new: str, old: str) -> None:
    assert about_the_same(new, old, None, people=(), shares_thing=False)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("Moved to Berlin.", "Likes green tea."),
        ("Likes hiking.", "Likes coffee."),
        ("Moved to Berlin.", "My sister lives in Munich."),
        ("Moved to Berlin.", "Anna lives in Munich."),
        ("Has a new phone.", "Has a dog."),
        ("Likes tea.", "Likes coffee."),
        ("Has a cat.", "Has a dog."),
        ("搬到柏林了。", "喜欢喝绿茶。"),
        ("喜欢爬山。", "喜欢喝咖啡。"),
        ("喜欢喝茶。", "喜欢喝咖啡。"),
        ("养了一只猫。", "养了一只狗。"),
        ("搬到柏林了。", "姐姐住在慕尼黑。"),
    ],
)
def test_a_fact_ends_nothing_about_something_or_somebody_else(new: str, old: str) -> None:
    assert not about_the_same(new, old, 0.2, people=("anna",), shares_thing=False)


@pytest.mark.parametrize(
    ("new", "old", "near"),
    [
        ("换成了戴隐形眼镜。", "平时戴着厚厚的框架镜。", None),
        ("早上改吃燕麦粥了。", "早上总是两个肉包子。", None),
        ("Sold the Beetle.", "Drives an old Volkswagen.", 0.2),
    ],
)
def test_where_the_model_has_copied_the_words_no_word_in_common_is_needed(
    new: str, old: str, near: float | None
) -> None:
    assert about_the_same(new, old, near, people=(), shares_thing=False, copied=True)


@pytest.mark.parametrize(
    ("new", "old", "near"),
    [
        ("Moved to Berlin.", "Likes the colour green.", 0.2),  # both are known to be about something else
        ("搬到柏林了。", "最喜欢的颜色是绿色。", None),
        ("Sold the Beetle.", "Sings in a choir.", 0.05),
        ("Moved to Berlin.", "My sister lives in Munich.", 0.6),
        ("搬到柏林了。", "姐姐住在慕尼黑。", None),
    ],
)
def test_copied_words_do_not_help_against_what_is_plain(new: str, old: str, near: float | None) -> None:
    assert not about_the_same(new, old, near, people=(), shares_thing=False, copied=True)


def test_a_known_person_is_not_another_one() -> None:
    people = ("安娜", "汤姆", "anna", "tom")
    assert not may_be_one("安娜喜欢喝茶。", "汤姆喜欢喝茶。", None, people=people)
    assert not may_be_one("Anna really likes green tea.", "Really likes green tea.", 0.95, people=people)
    assert may_be_one("安娜很爱喝茶。", "安娜喜欢喝茶。", None, people=people)


def test_meaning_or_a_thing_in_common_is_enough() -> None:
    assert about_the_same("Sold the Beetle.", "Drives an old Volkswagen.", 0.6, people=(), shares_thing=False)
    assert about_the_same("Rex is gone.", "Walks at dawn.", None, people=(), shares_thing=True)


def test_a_longer_text_says_all_of_the_shorter_one() -> None:
    assert adds_only_words("Has a dog with brown fur.", "Has a dog.")
    assert not adds_only_words("Has a dog.", "Has a dog with brown fur.")
    assert not adds_only_words("Has a cat with brown fur.", "Has a dog.")
    assert not adds_only_words("Has a dog.", "Has a dog.")

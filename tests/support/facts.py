"""Facts a person may tell, and the questions that only somebody who was told can answer. Drawn at random."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    statement: str
    question: str
    answer: str


_THINGS = ("colour", "fruit", "animal", "song", "season", "game", "drink", "flower")
_VALUES = ("teal", "quince", "otter", "Moon River", "autumn", "marbles", "ginger tea", "foxglove", "amber", "papaya")
_RELATIVES = ("sister", "brother", "grandmother", "neighbour", "teacher", "dog", "cat")
_NAMES = ("Philippa", "Osvaldo", "Wilhelmina", "Casimir", "Ottoline", "Barnaby", "Xanthe", "Leopold")
_CITIES = ("Lisbon", "Trondheim", "Valparaiso", "Utrecht", "Chengdu", "Halifax")
_CHINESE_THINGS = ("颜色", "水果", "动物", "季节", "运动", "菜")
_CHINESE_VALUES = ("青色", "石榴", "水獭", "深秋", "攀岩", "麻婆豆腐", "琥珀色", "木瓜")


def _favourite(dice: random.Random) -> Fact:
    thing, value = dice.choice(_THINGS), dice.choice(_VALUES)
    return Fact(f"My favourite {thing} is {value}.", f"What is my favourite {thing}?", value)


def _name_of(dice: random.Random) -> Fact:
    relative, name = dice.choice(_RELATIVES), dice.choice(_NAMES)
    return Fact(f"My {relative} is called {name}.", f"What is my {relative} called?", name)


def _home(dice: random.Random) -> Fact:
    city = dice.choice(_CITIES)
    return Fact(f"I live in {city}.", "Where do I live?", city)


def _chinese_favourite(dice: random.Random) -> Fact:
    thing, value = dice.choice(_CHINESE_THINGS), dice.choice(_CHINESE_VALUES)
    return Fact(f"我最喜欢的{thing}是{value}。", f"我最喜欢的{thing}是什么？", value)


TEMPLATES = (_favourite, _name_of, _home, _chinese_favourite)


def draw_facts(seed: int) -> list[Fact]:
    """One fact of each template."""
    dice = random.Random(seed)
    return [template(dice) for template in TEMPLATES]

"""Facts that a person may tell and the questions that ask for them, drawn at random; also what the recogniser knows."""

import random
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Fact:
    """`answer` is the word that a right answer must contain."""

    statement: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Template:
    statement: str
    question: str
    answers: tuple[str, ...]

    def fact(self, answer: str) -> Fact:
        return Fact(self.statement.format(answer), self.question, answer)


_ENGLISH = (
    _Template(
        "My favourite colour is {}.", "What is my favourite colour?", ("teal", "purple", "orange", "silver", "brown")
    ),
    _Template("My dog is called {}.", "What is my dog called?", ("Rex", "Bella", "Luna", "Bruno", "Toby")),
    _Template("I live in {}.", "Where do I live?", ("Lisbon", "Oslo", "Cairo", "Toronto", "Madrid")),
    _Template("My birthday is in {}.", "When is my birthday?", ("March", "August", "October", "December", "June")),
    _Template("My favourite drink is {}.", "What is my favourite drink?", ("coffee", "milk", "lemonade", "cider")),
    _Template("I play the {}.", "What instrument do I play?", ("violin", "trumpet", "guitar", "piano")),
)
_CHINESE = (
    _Template("我最喜欢的颜色是{}。", "我最喜欢的颜色是什么？", ("青色", "紫色", "橙色", "红色", "白色")),
    _Template("我的狗叫{}。", "我的狗叫什么？", ("旺财", "小黑", "豆豆", "阿福")),
    _Template("我住在{}。", "我住在哪里？", ("北京", "上海", "成都", "广州", "杭州")),
    _Template("我的生日在{}。", "我的生日在什么时候？", ("三月", "八月", "十月", "六月")),
)
_SMALL_TALK = ("Hello.", "Good morning.", "Stop.", "Goodbye.", "Thank you.", "你好。", "再见。", "好。", "谢谢。")


def draw_facts(rng: random.Random, language: Language, count: int) -> list[Fact]:
    """Facts about different things, so that none answers another's question."""
    templates = rng.sample(_ENGLISH if language == "en" else _CHINESE, count)
    return [template.fact(rng.choice(template.answers)) for template in templates]


def vocabulary() -> list[str]:
    """Every phrase that can be drawn, and a little small talk."""
    templates = (*_ENGLISH, *_CHINESE)
    statements = [template.fact(answer).statement for template in templates for answer in template.answers]
    return [*statements, *(template.question for template in templates), *_SMALL_TALK]

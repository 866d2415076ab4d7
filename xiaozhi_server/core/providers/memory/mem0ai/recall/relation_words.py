"""Words for how people are related: which mean the same, in English and Chinese, and what they are backwards."""

import re
from functools import lru_cache

from .folding import folded
from .stem import stem
from .words import RUN, UNSPACED_CHAR

# A line is one kind of relation, called by its first word. Single characters stand only behind their owner (我姐).
_SAME = """
sister sis 姐姐 妹妹 姐妹 姐 妹
brother bro 哥哥 弟弟 兄弟 哥 弟
sibling
mother mum mom mama mummy mommy 妈妈 母亲 老妈 妈
father dad papa daddy 爸爸 父亲 老爸 爸
parent 父母 爸妈
grandmother grandma granny nana 奶奶 外婆 姥姥 祖母
grandfather grandpa granddad 爷爷 外公 姥爷 祖父
wife 妻子 老婆 太太 爱人 媳妇
husband 丈夫 老公 先生
partner spouse 伴侣 对象
girlfriend 女朋友 女友
boyfriend 男朋友 男友
son 儿子
daughter 女儿
child kid 孩子 小孩
grandson 孙子 外孙
granddaughter 孙女 外孙女
aunt auntie 阿姨 姑姑 姨妈 舅妈 婶婶
uncle 叔叔 舅舅 伯伯 姑父 姨父
cousin 表姐 表妹 表哥 表弟 堂姐 堂妹 堂哥 堂弟
niece 侄女 外甥女
nephew 侄子 外甥
motherinlaw 婆婆 岳母 丈母娘
fatherinlaw 公公 岳父
sisterinlaw 嫂子 弟妹 小姨子
brotherinlaw 姐夫 妹夫
soninlaw 女婿
daughterinlaw 儿媳
friend buddy mate pal 朋友 好友 闺蜜 哥们
neighbour 邻居
colleague coworker workmate 同事
boss manager chef 老板 上司 领导
teacher 老师
doctor physician 医生 大夫
roommate flatmate 室友
classmate 同学
dog puppy 狗 小狗 狗狗
cat kitten 猫 小猫 猫咪
pet 宠物
"""
# What the object is to the subject, where the relation itself says so.
OPPOSITES = {"husband": "wife", "wife": "husband"} | {
    kind: kind for kind in ("partner", "sibling", "cousin", "friend", "neighbour", "colleague", "roommate", "classmate")
}
_IN_LAW = re.compile(r"\b(mother|father|sister|brother|son|daughter)s?[- ]in[- ]law\b")
_LITTLE_WORDS = frozenset([
    "a", "an", "the", "of", "at", "in", "to", "with", "for", "by", "from", "is", "are", "was", "my", "his", "her",
    "their", "our",
])  # fmt: skip


@lru_cache(maxsize=4096)
def kind_of(relation: str) -> str:
    """What kind of relation these words name: "older sister" and 姐姐 are both a sister."""
    runs = [run for run in runs_of(relation) if run not in _LITTLE_WORDS]
    if not runs:
        return ""
    if is_spaced(runs[-1]):
        word = stem(runs[-1])
        return _KINDS.get(word, word)
    # 亲姐姐, 最好的朋友: what it is comes last.
    ends = (runs[-1][start:] for start in range(len(runs[-1])))
    return next((_KINDS[end] for end in ends if end in _KINDS), runs[-1])


def runs_of(text: str) -> list[str]:
    """The words of a text as they are compared here; what is written without spaces is one run."""
    return RUN.findall(_IN_LAW.sub(r"\1inlaw", folded(text)))


def is_spaced(run: str) -> bool:
    return not UNSPACED_CHAR.match(run)


def _kinds() -> dict[str, str]:
    lines = [line.split() for line in _SAME.strip().splitlines()]
    return {stem(word) if is_spaced(word) else word: words[0] for words in lines for word in words}


_KINDS = _kinds()
UNSPACED_WORDS = frozenset(word for word in _KINDS if not is_spaced(word))

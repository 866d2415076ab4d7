"""Words that decide whether two facts are one, or about the same: what excludes each other, what belongs together.

Small on purpose, in English and Chinese. Where a word is missing the rules that use it are only more careful.
"""

from collections.abc import Iterable, Mapping

from ..recall.folding import folded
from ..recall.words import words_of


def _stems(words: str) -> frozenset[str]:
    return frozenset(stem for word in words.split() for stem in words_of(word))


def _groups(words: Iterable[str]) -> dict[str, str]:
    """Each word's stem with the first word's: what stands in one line means the same here."""
    return {stem: words_of(line.split()[0])[0] for line in words for stem in _stems(line)}


# Said of nearly everything: two facts that share only such a word need not be about the same.
GENERIC = _stems(
    "like love enjoy adore hate dislike prefer want need own get make go come take use keep say think know feel see "
    "user speaker person people someone thing name day week month year time today now new old good nice great big "
    "little always often usually never sometimes again more most much many lot first last kind sort way old lives "
    "visit plan try start begin every other also still just"
) | {"喜欢", "喜爱", "讨厌", "喜", "欢", "用户", "自己", "一个", "一只", "一点", "今天", "现在", "最近", "经常", "非常",
     "不喜", "想要", "觉得", "已经", "比较", "每天", "每周", "很喜", "最喜", "特别", "不太"}  # fmt: skip

# The first word of a line stands for all of it.
SYNONYMS = _groups(
    (
        "like love enjoy adore fond",
        "mother mom mum mama mummy",
        "father dad papa daddy",
        "child kid",
        "live reside dwell",
        "doctor physician",
        "film movie",
        "car automobile auto",
        "phone mobile cellphone smartphone",
        "work employed",
        "hate dislike detest loathe",
        "begin start",
        "buy purchase",
        "home house",
        "bicycle bike",
        "tv television",
        "holiday vacation",
        "allergy allergic",
        "fear afraid scared frightened",
        "collect collection",
        "autumn fall",
    )
)
SYNONYMS_UNSPACED: Mapping[str, str] = {
    "妈妈": "母亲", "爸爸": "父亲", "老婆": "妻子", "太太": "妻子", "老公": "丈夫", "喜爱": "喜欢", "热爱": "喜欢",
    "爱吃": "喜欢吃", "爱喝": "喜欢喝", "居住": "住", "手机号": "电话", "小孩": "孩子", "大夫": "医生", "工作于": "在",
    "自行车": "单车", "生日是": "生日", "汽车": "车",
}  # fmt: skip

# How a fact is said, not what: more or less of it makes no other fact.
SOFT = _stems(
    "really quite absolutely totally definitely actually currently now simply certainly pretty just still basically "
    "truly indeed much"
)

# Members of a line exclude each other where two facts differ in nothing else.
_CONTRASTS = (
    "mother father|妈妈 母亲 爸爸 父亲",
    "brother sister sibling cousin|哥哥 弟弟 姐姐 妹妹 表哥 表妹",
    "son daughter|儿子 女儿",
    "husband wife boyfriend girlfriend ex|丈夫 妻子 男朋友 女朋友 前妻 前夫",
    "grandmother grandfather grandma grandpa uncle aunt nephew niece|奶奶 爷爷 外婆 外公 叔叔 阿姨 舅舅 姑姑",
    "friend boss colleague neighbour neighbor teacher|朋友 老板 同事 邻居 老师",
    "cat dog rabbit hamster parrot bird fish horse turtle|猫 狗 兔子 仓鼠 鹦鹉 鸟 鱼 马 乌龟",
    "red blue green yellow teal purple orange pink black white grey gray brown"
    "|红色 蓝色 绿色 黄色 青色 紫色 橙色 粉色 黑色 白色 灰色 棕色",
    "monday tuesday wednesday thursday friday saturday sunday|周一 周二 周三 周四 周五 周六 周日",
    "january february march april may june july august september october november december",
    "spring summer autumn winter|春天 夏天 秋天 冬天",
    "breakfast lunch dinner|早餐 午餐 晚餐",
    "morning noon afternoon evening night|早上 中午 下午 晚上",
    "tea coffee beer wine milk juice cocoa water|茶 咖啡 啤酒 红酒 牛奶 果汁 可可",
    "apple pear plum banana cherry strawberry mango|苹果 梨 李子 香蕉 樱桃 草莓 芒果",
    "left right|左 右",
    "like hate|喜欢 讨厌",
    "hot cold|热 冷",
    "north south east west|北 南 东 西",
    "start begin stop quit finish|开始 停止 戒",
    "buy sell|买 卖",
    "win lose|赢 输",
    "before after|之前 之后",
    "always never|总是 从不",
    "piano violin guitar drum flute|钢琴 小提琴 吉他 鼓 笛子",
    "football tennis basketball volleyball golf chess swim run hike|足球 网球 篮球 排球 高尔夫 象棋 游泳 跑步 爬山",
    "german french italian spanish chinese japanese english|德语 法语 意大利语 西班牙语 中文 日语 英语",
    "doctor nurse teacher engineer lawyer cook driver|医生 护士 老师 工程师 律师 厨师 司机",
    "birth wedding|生日 结婚纪念日",
)
KIN = frozenset(range(6))  # the lines of those that say who

# Facts about the same side of a life need no word in common: "lives in Munich", "moved to Berlin".
_TOPICS = (
    "live reside move relocate settle home address apartment flat|住 搬 定居 地址 老家 新家 公寓",
    "work job employer company hire employ career profession retire resign promote boss"
    "|工作 上班 公司 职业 辞职 退休 跳槽 入职 升职 任职 改行 转行 单位",
    "married marry divorce single engage husband wife boyfriend girlfriend partner date separate"
    "|结婚 离婚 单身 订婚 丈夫 妻子 男朋友 女朋友 对象 分手",
    "age birthday old|岁 生日 年龄",
    "name call rename nickname|叫 名字 改名 昵称",
    "vegetarian vegan meat diet eat allergic food|素食 吃素 吃肉 忌口 饮食 过敏",
    "colour color|颜色 色",
    "smoke cigarette quit|抽烟 吸烟 戒烟",
    "alcohol wine beer drunk sober|酒 戒酒",
    "drive car bike bicycle bus train commute|开车 开1辆 开的是 车 单车 地铁 公交 上下班",
    "study school university college student graduate degree course major|学校 大学 读书 学生 毕业 专业",
    "phone number laptop computer email|手机 电话 号码 电脑 邮箱",
    "weigh weight kilo pound diet|体重 公斤 减肥",
    "sick ill health disease allergy medicine pill doctor|病 健康 过敏 药 医生",
    "sleep wake bed|睡 起床 早起",
    "gym sport train run jog swim yoga|健身 运动 锻炼 跑步 游泳 瑜伽",
    "lesson practise instrument piano guitar violin|乐器 钢琴 吉他 小提琴",
    "pregnant baby child son daughter birth|怀孕 宝宝 孩子 儿子 女儿 出生",
    "team fan club support|球队 球迷 支持",
    "travel trip holiday flight vacation|旅行 旅游 出差 航班 假期",
    "favourite favorite prefer|最喜欢 最爱",
    "doctor nurse teacher engineer lawyer cook driver|医生 护士 老师 工程师 律师 厨师 司机",
    "red blue green yellow teal purple orange pink black white grey brown"
    "|红色 蓝色 绿色 黄色 青色 紫色 橙色 粉色 黑色 白色 灰色 棕色",
)


class _Lines:
    """Which lines of a table a text has words of."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._stems: dict[str, set[int]] = {}
        self._pieces: dict[str, set[int]] = {}
        for number, line in enumerate(lines):
            spaced, _, unspaced = line.partition("|")
            for stem in _stems(spaced):
                self._stems.setdefault(SYNONYMS.get(stem, stem), set()).add(number)
            for piece in unspaced.split():
                self._pieces.setdefault(piece, set()).add(number)

    def found(self, words: Iterable[str], text: str) -> frozenset[tuple[int, str]]:
        by_stem = {(number, word) for word in words for number in self._stems.get(word, ())}
        pieces = () if text.isascii() else self._pieces
        by_piece = {(number, piece) for piece in pieces if piece in text for number in self._pieces[piece]}
        return frozenset(by_stem | by_piece)


_contrasts, _topics = _Lines(_CONTRASTS), _Lines(_TOPICS)


def contrasts(words: Iterable[str], text: str) -> frozenset[tuple[int, str]]:
    """The lines of what excludes each other, and the member of each."""
    return _contrasts.found(words, text)


def topics(words: Iterable[str], text: str) -> frozenset[int]:
    return frozenset(number for number, _ in _topics.found(words, text))


def plain(text: str) -> str:
    """The folded text, Chinese synonyms made one."""
    text = folded(text)
    if text.isascii():
        return text
    for word, same in SYNONYMS_UNSPACED.items():
        text = text.replace(word, same)
    return text

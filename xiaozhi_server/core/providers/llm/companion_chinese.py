"""How the companion reads Chinese: what is a question, which characters matter, whose thing it is."""

import re

from .companion_reading import WEAK_WEIGHT, Reading

HAN = re.compile(r"[\u3400-\u9fff]")
QUESTION = re.compile(
    r"[?？]\s*$|(?<!没)什么|哪|谁|多少|多大|多高|多重|多久|几[号点岁月个天年口]|怎么|为什么|为何|何时|[吗呢]$|是不是|有没有"
)
LEAD_IN = re.compile(
    r"(?:请|帮我|你要)*(?:记(?:住|得|一下)|(?:别|不要)忘(?:了|记))[，,：:]?|顺便说一下[，,]?|其实[，,]?|对了[，,]?|嗯[，,]"
    r"|不对?[，,]|不是[，,]|错了[，,]|我是说[，,]?|忘了(?:说|告诉你)[，,]?"
)
REQUEST = re.compile(
    r"(?:请|麻烦|帮我|帮忙|给我|给我们|你|能不能|可不可以|可以|再)*"
    r"(?:打开|播放|关(?:掉|闭|上|灯)|开(?:灯|门|窗|空调|电视)|放(?:一?首|点|个|音乐)|唱(?:首|个|一)|讲(?:个|一个|故事|笑话)"
    r"|说(?:个|一个|你是)|设(?:置|定|个|一个)|定(?:个|一个)|提醒我|叫醒|叫我起床|翻译(?:一下|成)|查(?:一下|询|找)|搜索|忽略|重复|停(?:止|下|$))"
)
FORGET = re.compile(
    r"(?:请|麻烦|帮我|你|能不能|可以)*(?:把.{1,20}?)?(?:都|全部|全)?(?:忘(?:掉|记|了)|删(?:掉|除)|清(?:空|除))"
)
# No part may be read in two ways, or a long "嗯嗯嗯" would be read in very many.
FILLER = re.compile(r"(?:好的|好|嗯|是的|是|对的|对|不|行|可以|没错|哈|呵|哦|啊|哇|真的|知道|明白|[吧呀了，,。！!\s])+")
ASKED_POLITELY = re.compile(r"^(?:请问)?你?(?:还|可以|能)?(?:记得|知道|告诉|知不知道|记不记得)")
PUNCTUATION = re.compile(r"[\s，。！？、；：,.!?;:\"'“”‘’（）()~…]+")
# What only makes a question of it.
ASKING = re.compile(
    r"请问|你?还?记得|你?知道|告诉我|能不能|可不可以|可以|什么时候|什么地方|什么样|什么|哪种|哪里|哪儿|哪一天|哪天|哪个|哪|谁|"
    r"现在|几号|几点|几月|几|多少|怎么|为什么|是不是|有没有|吗|呢|吧|啊|呀|嘛"
)
REWORDED = (
    (re.compile(r"我是谁"), "我叫什么名字"),
    (re.compile(r"我是做什么的|我是干什么的"), "我的工作"),
    (re.compile(r"多大|几岁|年纪|年龄"), "岁"),
    (re.compile(r"母亲|妈咪|我妈(?!妈)"), "我妈妈"),
    (re.compile(r"父亲|我爸(?!爸)"), "我爸爸"),
    (re.compile(r"妻子|太太"), "老婆"),
    (re.compile(r"丈夫|先生"), "老公"),
    (re.compile(r"最爱"), "最喜欢"),
    (re.compile(r"搬(?:家)?到"), "住在"),
    (re.compile(r"(?:电话|手机)(?:号码|号)?"), "电话号码"),
    (re.compile(r"出生|过生日"), "生日"),
    (re.compile(r"名字|叫做"), "叫"),
    (re.compile(r"我我"), "我"),
)
FUNCTION = re.compile(r"[我咱您你们家的是了在和跟也都有个只这那就很把被给对从到着一]")
WEAK = re.compile(r"最喜欢|喜欢|叫|颜色|号码|岁|今年|做")
KIN = (
    "妈妈|爸爸|老婆|老公|女儿|儿子|姐姐|妹妹|哥哥|弟弟|爷爷|奶奶|外公|外婆|孩子|父母|"
    "女朋友|男朋友|朋友|同事|同学|老师|老板"
)
ENDS = r"(?=是|不|没|现在|叫|在|住|有|的|放|很|今年|岁|会|要|想|生病|多|几|什|哪|[，。！？,.!?]|$)"
POSSESSION = re.compile(
    rf"我(?:们|家)?的?(?P<kin>{KIN})"
    rf"|我(?:们|家)?(?:最喜欢)?的(?:最喜欢的)?(?P<thing>.{{1,6}}?){ENDS}"
)
TURNS = {"我们": "你们", "咱们": "你们", "我": "你", "你们": "我们", "您": "我", "你": "我"}
TURNED = re.compile("|".join(TURNS))
FIRST_PERSON = re.compile(r"我|咱")
SECOND_PERSON = re.compile(r"你|您")


def is_question(text: str) -> bool:
    return bool(QUESTION.search(text.strip().rstrip("。.！!")))


def asks_about_the_companion(question: str) -> bool:
    """What is asked of "you" and not of "me": where you live, not whether you know where I live."""
    if ASKED_POLITELY.search(question):
        return False
    return bool(
        question.startswith(("你", "您")) or (SECOND_PERSON.search(question) and not FIRST_PERSON.search(question))
    )


def without_lead_in(text: str) -> str:
    while (found := LEAD_IN.match(text)) and found.end():
        text = text[found.end() :].lstrip()
    return text


def turned(text: str) -> str:
    return TURNED.sub(lambda found: TURNS[found.group()], text)


def sentence(text: str) -> str:
    return f"{text.strip().rstrip('。.！!？?')}。"


def read(text: str) -> Reading:
    plain = without_lead_in(text)
    for pattern, replacement in REWORDED:
        plain = pattern.sub(replacement, plain)
    parts = _parts(plain)
    return Reading(
        parts=parts,
        telling=frozenset(part for part in parts if not WEAK.fullmatch(part)),
        held=plain,
        possessions=frozenset(found["kin"] or found["thing"] for found in POSSESSION.finditer(plain)),
        says_i=bool(FIRST_PERSON.search(POSSESSION.sub("", plain))),
        is_personal=bool(FIRST_PERSON.search(text)),
    )


def _parts(text: str) -> dict[str, float]:
    """Weak words whole, everything else as pairs of neighbours, which together weigh as much as one word."""
    plain = PUNCTUATION.sub("|", ASKING.sub("|", text))
    parts = {word: WEAK_WEIGHT for word in WEAK.findall(plain)}
    for run in re.split(r"\|+", FUNCTION.sub("|", WEAK.sub("|", plain))):
        pairs = [run[start : start + 2] for start in range(len(run) - 1)] or [run]
        parts.update({pair: 1.0 / len(pairs) for pair in pairs if pair})
    return parts

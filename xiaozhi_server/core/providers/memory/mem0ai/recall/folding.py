"""Makes what reads alike look alike: widths, capitals, accents, Traditional and Simplified Chinese, and numbers."""

import re
import unicodedata
from functools import cache
from pathlib import Path

_ACCENTS_ON_LATIN = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")  # elsewhere a mark can make another letter (が, й)

_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_POWERS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_NUMERALS = "零〇一二两三四五六七八九十百千万"
# A numeral is a number before what can be counted; elsewhere it is part of a word (三明治, 一起, 万一).
_COUNTED = "[岁年月日号点时分秒天周个只条块元斤米次口楼层位张本件瓶杯辆台双支度顿包颗棵把]|小时|星期|公斤|公里"
_NUMERAL = re.compile(f"(?<![{_NUMERALS}])[{_NUMERALS}]{{1,12}}(?={_COUNTED})")
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_WORDS.split()) if word != "one"} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
}  # fmt: skip  # "one" mostly means somebody


def folded(text: str) -> str:
    """The form in which texts are cut into tokens."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if plain.isascii():
        return plain
    parted = unicodedata.normalize("NFD", plain)
    joined = unicodedata.normalize("NFC", _ACCENTS_ON_LATIN.sub("", parted))
    return _NUMERAL.sub(_in_digits, joined.translate(_simplified()))


def number_of(word: str) -> str | None:
    """An English number word in digits."""
    return _NUMBER_WORDS.get(word)


@cache
def _simplified() -> dict[int, str]:
    characters = (Path(__file__).parent / "simplified.txt").read_text("utf-8").replace("\n", "")
    return dict(zip(map(ord, characters[::2]), characters[1::2], strict=True))


def _in_digits(numeral: re.Match[str]) -> str:
    characters = numeral[0]
    if not any(character in _POWERS for character in characters):
        return "".join(str(_DIGITS[character]) for character in characters)  # 二〇二三
    whole = part = digit = 0
    for character in characters:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character == "万":
            whole, part, digit = (whole + part + digit or 1) * _POWERS[character], 0, 0
        else:
            part, digit = part + (digit or 1) * _POWERS[character], 0
    return str(whole + part + digit)

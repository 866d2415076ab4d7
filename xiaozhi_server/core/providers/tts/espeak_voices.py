"""Which espeak-ng voice speaks a text: its script decides, then the hint. Knows no library and no sound."""

import re
from collections.abc import Mapping

DEFAULT_VOICE = "en"
# Scripts that belong to one language, or to the first of several when the hint names none of them.
SCRIPTS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"[\u3040-\u30ff]"), ("ja",)),
    (re.compile(r"[\uac00-\ud7af\u1100-\u11ff]"), ("ko",)),
    (re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), ("cmn", "yue", "hak", "ja")),
    (re.compile(r"[\u0400-\u04ff]"), ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "ba", "tt", "cv")),
    (re.compile(r"[\u0370-\u03ff]"), ("el",)),
    (re.compile(r"[\u0590-\u05ff]"), ("he",)),
    (re.compile(r"[\u0600-\u06ff]"), ("ar", "fa", "ur", "ug", "sd")),
    (re.compile(r"[\u0900-\u097f]"), ("hi", "mr", "ne", "kok")),
    (re.compile(r"[\u0980-\u09ff]"), ("bn", "as")),
    (re.compile(r"[\u0b80-\u0bff]"), ("ta",)),
    (re.compile(r"[\u0c00-\u0c7f]"), ("te",)),
    (re.compile(r"[\u0e00-\u0e7f]"), ("th",)),
    (re.compile(r"[\u10a0-\u10ff]"), ("ka",)),
)
# Languages written in Latin letters, where only the hint can tell.
LATIN = frozenset(
    """
    af ca cs cy da de en en-us eo es et eu fi fr ga hr hu id is it la lt lv ms mt nb nl pl pt pt-br ro sk sl sq sv sw
    tr vi
    """.split()  # noqa: SIM905 one word a language reads best
)
OTHERS = frozenset(language for _, languages in SCRIPTS for language in languages)
NAMES: Mapping[str, str] = {"zh": "cmn", "no": "nb", "iw": "he", "in": "id", "zh-hk": "yue", "zh-yue": "yue"}
LATIN_LETTER = re.compile(r"[A-Za-z\u00c0-\u024f]")


def voice_for(text: str, language: str | None) -> str:
    """The name of the voice; `language` is BCP 47."""
    hinted = _hinted(language)
    for script, languages in SCRIPTS:
        if script.search(text):
            return hinted if hinted in languages else languages[0]
    if hinted in LATIN:
        return hinted
    # A number alone is read in the language of the talk; English words in a Chinese talk are read in English.
    return DEFAULT_VOICE if LATIN_LETTER.search(text) or not hinted else hinted


def _hinted(language: str | None) -> str:
    """The voice that the hint names, or "" where there is none."""
    tag = (language or "").replace("_", "-").lower()
    base = tag.split("-")[0]
    candidates = (NAMES.get(tag), tag, NAMES.get(base), base)
    return next((voice for voice in candidates if voice in LATIN or voice in OTHERS), "")

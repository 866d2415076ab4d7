"""Whether a text in Latin letters is in another language than a talk, by the small words that each language has alone.

In doubt it is not: a name, a number and a word that many languages share tell nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable

# Words of several languages stand in the list of each: then they count for none.
_SMALL_WORDS = {
    "en": (
        "the and is are were has have had with for from since likes lives works wants loves goes plays my "
        "his her their our of to that this who because does doesn't not no but at he she they every per hat "
        "die war do son on men"
    ),
    "de": (
        "der die das den dem des und ist sind war hat habe haben mit für seit nicht ein eine einen einem "
        "einer mein meine meinen sein seine ihre im zum zur von auf bei ich wir er es sie um am auch aber "
        "gern heißt wohnt arbeitet mag jeden wird"
    ),
    "fr": (
        "le les des est et une un avec pour dans je il elle nous mon ma mes sa son ses pas qui que du au aux "
        "chez aime habite travaille depuis ai avait chaque"
    ),
    "es": (
        "el los las es y una un con para en mi mis su sus no vive vivo tiene tengo gusta que del muy pero "
        "desde está trabaja cada se le"
    ),
    "it": (
        "il lo gli è e una un con per nel della del mio mia suo sua vive abita lavora ha ho sa sono non no "
        "che di ma piace da ogni si"
    ),
    "pt": (
        "o os é e uma um com para não no do da meu minha seu sua em mora gosta trabalha tem tenho eu ela ele que cada"
    ),
    "nl": (
        "het een en van ik is zijn niet met voor of die der den had mijn haar heeft heb woont werkt houdt "
        "ook maar sinds bij naar wij hij"
    ),
    "nordic": (
        "jeg jag er är og och det den de til till med af av på har ikke inte for för som at att en et ett hun han sin"
    ),
}
_CLEAR = 2  # different words, and twice as many as of any other language
_WORD = re.compile(r"[^\W\d_]+(?:['’]t\b)?")


def _own_words() -> dict[str, str]:
    """The language of each word that only one of them has."""
    counts = Counter(word for words in _SMALL_WORDS.values() for word in set(words.casefold().split()))
    return {
        word: name for name, words in _SMALL_WORDS.items() for word in words.casefold().split() if counts[word] == 1
    }


_LANGUAGE_OF = _own_words()


def is_in_another_language(text: str, talk: Iterable[str]) -> bool:
    told, said = _hits([text]), _hits(talk)
    language = max(said, key=lambda one: said[one], default="")
    others = max((count for one, count in said.items() if one != language), default=0)
    if said[language] < max(_CLEAR, 2 * others) or told[language]:
        return False
    return any(count >= _CLEAR and not said[one] for one, count in told.items())


def _hits(texts: Iterable[str]) -> Counter[str]:
    """How many different words there are of each language."""
    words = {word.replace("’", "'") for text in texts for word in _WORD.findall(text.casefold())}
    return Counter(_LANGUAGE_OF[word] for word in words if word in _LANGUAGE_OF)

"""Who spoke: recognisers that know voices send a name with the words, beside them or wrapped together with them."""

import json
import unicodedata

_LONGEST_GIVEN = 1000
_LONGEST_NAME = 64
# What recognisers call a voice that they do not know, in the form of `person_named`.
_NOBODY = frozenset(
    ("unknown", "unknown_speaker", "unknown_user", "none", "null", "未知", "未知说话人", "未知說話人", "陌生人")
)


def unwrapped(text: str) -> tuple[str, str | None]:
    """What was said and by whom, of `{"speaker": …, "content": …}`; any other text as it is, by nobody known."""
    if not text.lstrip().startswith("{"):
        return text, None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text, None
    if not isinstance(said, dict) or "speaker" not in said or not isinstance(said.get("content"), str):
        return text, None
    speaker = said["speaker"]
    return said["content"], known_name(speaker) if isinstance(speaker, str) else None


def known_name(speaker: str | None) -> str | None:
    """A name as it is shown; None where it names nobody in particular."""
    return None if speaker is None or person_named(speaker) is None else _tidy(speaker)


def person_named(speaker: str) -> str | None:
    """The same for every way to write a name: letters, digits and marks, joined where anything else stood between.

    None where that names nobody. It is part of ids that lie in databases, so it may never change for a name.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _tidy(speaker)).casefold())
    parts = "".join(one if unicodedata.category(one)[0] in "LNM" else " " for one in plain).split()
    name = "_".join(parts)
    return name if name and name not in _NOBODY else None


def _tidy(name: str) -> str:
    printable = (one if one.isprintable() else " " for one in name[:_LONGEST_GIVEN])
    return " ".join("".join(printable).split())[:_LONGEST_NAME].rstrip()

"""Makes recall/simplified.txt, by which Traditional characters are read as Simplified ones.

    python scripts/make_simplified.py TSCharacters.txt

TSCharacters.txt is OpenCC's list (Apache 2.0): a character, a tab, and the forms that may stand for it. It is in the
wheel of opencc-python-reimplemented 0.1.7. Needed again only when the list is to be renewed.
"""

import sys
from pathlib import Path

TABLE = Path(__file__).parents[1] / "xiaozhi_server/core/providers/memory/mem0ai/recall/simplified.txt"
PRONOUNS = {"妳": "你", "牠": "它"}  # no simplification, but said the same and meant the same
PAIRS_IN_A_LINE = 50
LAST_OF_THE_BASIC_PLANE = "\uffff"  # what lies behind is not spoken in a home


def pairs_of(lines: list[str]) -> dict[str, str]:
    """Each character with the first form that is another character."""
    pairs = dict(PRONOUNS)
    for line in lines:
        character, _, forms = line.strip().partition("\t")
        others = [form for form in forms.split() if form != character]
        if others and max(character, others[0]) <= LAST_OF_THE_BASIC_PLANE:
            pairs[character] = others[0]
    # A form may itself be a character that is read as another.
    return {character: pairs.get(form, form) for character, form in pairs.items()}


def main() -> None:
    pairs = sorted(pairs_of(Path(sys.argv[1]).read_text("utf-8").splitlines()).items())
    both = [character + form for character, form in pairs]
    rows = ["".join(both[at : at + PAIRS_IN_A_LINE]) for at in range(0, len(both), PAIRS_IN_A_LINE)]
    TABLE.write_text("\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()

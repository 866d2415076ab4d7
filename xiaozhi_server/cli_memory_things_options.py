"""What `memory things` can be told; apart from the command, so that nothing is loaded for it."""

import argparse
from collections.abc import Callable

MakeAction = Callable[[str, str], argparse.ArgumentParser]

THINGS = "things"
# What may be done, and which words it needs.
USES = {
    "list": "",
    "show": "ID",
    "rename": "ID NAME",
    "merge": "ID INTO_ID",
    "delete": "ID",
    "relate": "ID RELATION [OF_ID]",
    "unrelate": "RELATION_ID",
}


def add_things(scoped: MakeAction) -> None:
    things = scoped(THINGS, "people and things that memories are about: list, rename, merge, relate or delete them")
    things.usage = "%(prog)s [options] " + " | ".join(f"{do} {words}".strip() for do, words in USES.items())
    things.add_argument("do", nargs="?", choices=USES, default="list", metavar="DO", help="list, where nothing is said")
    things.add_argument("words", nargs="*", metavar="…", help="ids as the list shows them, a name, a relation")
    things.add_argument("--limit", type=int, default=100, metavar="N", help="how many (100)")
    things.add_argument("--yes", action="store_true", help="do not ask")

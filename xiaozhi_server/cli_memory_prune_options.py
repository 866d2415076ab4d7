"""What `memory prune` and `memory pin` can be told; apart from the commands, so that nothing is loaded for it."""

import argparse
from collections.abc import Callable

MakeAction = Callable[[str, str], argparse.ArgumentParser]


def add_prune(action: MakeAction, scoped: MakeAction) -> None:
    prune = action("prune", "delete memories that have faded, of one owner or of everybody")
    prune.add_argument("--user", metavar="ID", help="only this owner's")
    prune.add_argument("--agent", metavar="ID", help="only what this agent heard")
    prune.add_argument("--ttl-days", type=int, metavar="N", help="and what was said longer ago, recalled or not")
    prune.add_argument("--dry-run", action="store_true", help="only show what would go, and why")
    prune.add_argument("--yes", action="store_true", help="do not ask")
    pin = scoped("pin", "keep memories from ever being forgotten by themselves")
    pin.add_argument("ids", nargs="+", metavar="ID", help="see `memory list`")
    pin.add_argument("--off", action="store_true", help="let them fade again")
    pin.add_argument("--dry-run", action="store_true", help="only show which")

"""What `memory share` can be told; apart from the command, so that nothing of a memory is loaded for it."""

import argparse
from collections.abc import Callable


def add_share(action: Callable[[str, str], argparse.ArgumentParser]) -> None:
    share = action("share", "let an agent read what another one heard of a person, or not any more")
    share.add_argument("what", choices=("list", "grant", "revoke", "audit"), metavar="list|grant|revoke|audit")
    share.add_argument("--user", metavar="ID", help="of whom; not needed where there is only one owner")
    share.add_argument("--agent", metavar="ID", help="who may read")
    share.add_argument("--from", dest="from_agent", metavar="ID", help="whose memories")
    share.add_argument("--limit", type=int, default=100, metavar="N", help="how many lines of the audit (100)")

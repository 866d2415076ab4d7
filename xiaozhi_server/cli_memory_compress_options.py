"""What `memory compress` and `memory restore` can be told; apart from the commands, so that nothing is loaded."""

import argparse
from collections.abc import Callable

DAYS = 90


def add_compress(action: Callable[[str, str], argparse.ArgumentParser]) -> None:
    compress = action("compress", "let the model put old episodes together, into fewer that are shorter")
    compress.add_argument("--user", metavar="ID", help="only this owner's")
    compress.add_argument("--agent", metavar="ID", help="only what this agent heard")
    compress.add_argument(
        "--older-than", type=int, default=DAYS, metavar="DAYS", help=f"what was said and recalled before that ({DAYS})"
    )
    compress.add_argument("--verbatim", action="store_true", help="also texts that are kept word for word")
    compress.add_argument("--dry-run", action="store_true", help="only show what belongs together, and ask no model")
    restore = action("restore", "take a summary away and recall again what it stands for")
    restore.add_argument("id", metavar="ID", help="of the summary (see `memory list`)")
    restore.add_argument("--user", metavar="ID", help="whose it is; not needed where there is only one owner")
    restore.add_argument("--agent", metavar="ID", help="refuse unless this agent heard it")

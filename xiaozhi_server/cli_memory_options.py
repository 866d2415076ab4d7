"""What `memory` can be told on the command line."""

import argparse
from collections.abc import Callable
from typing import Any

from .cli_memory_adopt_options import add_adopt
from .cli_memory_compress_options import add_compress
from .cli_memory_prune_options import add_prune
from .cli_memory_share_options import add_share
from .cli_memory_things_options import add_things
from .cli_memory_transfer_options import add_transfer


def add_memory(commands: Any, add_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """`memory` with its own commands below that of the server."""
    purpose = "look up, search, add or delete memories, and see how much there is"
    memory = commands.add_parser("memory", help=purpose, description=purpose)
    actions = memory.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, purpose: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = actions.add_parser(name, help=purpose, description=purpose)
        add_options(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    def scoped(name: str, purpose: str) -> argparse.ArgumentParser:
        parser = action(name, purpose)
        parser.add_argument("--user", metavar="ID", help="whose memories; not needed where there is only one owner")
        parser.add_argument("--agent", metavar="ID", help="only what this agent heard")
        return parser

    limited = scoped("list", "the newest memories"), scoped("search", "the memories that fit a question best")
    for parser in limited:
        parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    limited[1].add_argument("query", metavar="QUESTION")
    scoped("add", "remember a text word for word").add_argument("text", metavar="TEXT", help="- reads it from stdin")
    delete = scoped("delete", "delete memories by their ids, or all of an owner")
    delete.add_argument("ids", nargs="*", metavar="ID", help="see `memory list`")
    delete.add_argument("--all", action="store_true", help="all of this owner, or with --agent all of one agent")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    add_things(scoped)
    add_prune(action, scoped)
    action("stats", "owners, memories, sizes, and what waits to be saved")
    action("reembed", "after a change of the embedder: make the vectors of all memories again")
    add_adopt(action)
    add_transfer(action)
    add_compress(action)
    add_share(action)
    dead = action("dead", "what could not be saved and was given up")
    dead.add_argument("--user", metavar="ID", help="only this owner's")
    dead.add_argument("--replay", action="store_true", help="let the server try again to save it")

"""What `memory adopt` can be told; apart from the command, so that nothing of a memory is loaded for it."""

import argparse
from collections.abc import Callable


def add_adopt(action: Callable[[str, str], argparse.ArgumentParser]) -> None:
    parser = action("adopt", "bring over what mem0 1.x or 2.x has stored in a table of its own, which stays as it is")
    parser.add_argument("--table", metavar="NAME", help="mem0's collection_name (else as Memory.mem0ai.adopt has it)")
    parser.add_argument("--same-embedder", action="store_true", help="the vectors there are of the embedder set here")
    parser.add_argument("--owner-for-ownerless", metavar="ID", help="whose the memories shall be that name no user")
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be done")

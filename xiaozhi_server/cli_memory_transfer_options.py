"""What `memory export|import|forget` can be told; apart from the commands, so that nothing is loaded for it."""

import argparse
from collections.abc import Callable

FORMATS = ("ours", "mem0", "mem0-lines", "memory-yaml", "summary")
_Action = Callable[[str, str], argparse.ArgumentParser]


def add_transfer(action: _Action) -> None:
    export = action("export", "write memories to a file, a JSON object a line")
    export.add_argument("file", nargs="?", default="-", metavar="FILE", help="a new file; stdout where none is named")
    whose = export.add_mutually_exclusive_group()
    whose.add_argument("--user", metavar="ID", help="whose memories; not needed where there is only one owner")
    whose.add_argument("--all", action="store_true", help="everybody's")
    export.add_argument(
        "--vectors", action="store_true", help="with the vectors: who reads them need not embed anything"
    )
    export.add_argument("--dry-run", action="store_true", help="only say how much there is")

    purpose = "read memories from an export, a .memory.yaml or summary_memory of the reference server, or Mem0's export"
    imported = action("import", purpose)
    imported.add_argument("file", metavar="FILE", help="- reads stdin")
    imported.add_argument("--format", choices=FORMATS, help="what the file is, where its content does not tell")
    imported.add_argument("--user", metavar="ID", help="whose memories these become, whoever the file names")
    imported.add_argument("--from", dest="from_user", metavar="ID", help="of several owners in the file, only this one")
    imported.add_argument("--agent", metavar="ID", help="which agent heard it, for a summary that names none")
    imported.add_argument("--dry-run", action="store_true", help="only say what would be done")

    forget = action("forget", "leave nothing of a person, and look through everything for what might be left")
    forget.add_argument("--user", metavar="ID", required=True, help="who")
    forget.add_argument("--household", action="store_true", help="and the persons of this household")
    forget.add_argument("--dry-run", action="store_true", help="only say what there is")
    forget.add_argument("--yes", action="store_true", help="do not ask")

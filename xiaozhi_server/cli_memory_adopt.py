"""`memory adopt`: brings over what mem0 has stored in PostgreSQL. mem0's table is read and never written."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from .cli_memory_command import Command, print_json
from .cli_output import shown
from .core.providers.memory.mem0ai.adopting.conversion import AdoptionOptions, AdoptionReport

ADOPT = "adopt"

_PGVECTOR = "pgvector"
_COLLECTION = "mem0"  # what mem0 calls it where nothing is said


async def adopt(command: Command) -> None:
    chosen = command.chosen
    options = AdoptionOptions(
        same_embedder=chosen.same_embedder, ownerless=chosen.owner_for_ownerless, dry_run=chosen.dry_run
    )
    report = await command.engine.adopt(chosen.table, options, _progress())
    if chosen.json:
        print_json(asdict(report))
    else:
        sys.stdout.writelines(f"{line}\n" for line in _told(report))


def parts_for_adoption(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where mem0's own store is in use, it is what is adopted: into our database, from the next start on."""
    store = parts.get("vector_store")
    if store is None or store["provider"] != _PGVECTOR:
        return parts
    others = {name: part for name, part in parts.items() if name != "vector_store"}
    return {"adopt": _of_pgvector(store["config"]), **others}


def _of_pgvector(config: Mapping[str, Any]) -> dict[str, Any]:
    """mem0's settings of a store, with its own defaults."""
    address = config.get("connection_string")
    if not address:
        user, password = (quote(str(config.get(name) or ""), safe="") for name in ("user", "password"))
        host, port = config.get("host") or "localhost", config.get("port") or 5432
        address = f"postgresql://{user}:{password}@{host}:{port}/{config.get('dbname') or 'postgres'}"
    return {"collection_name": config.get("collection_name") or _COLLECTION, "connection_string": address}


def _progress() -> Callable[[int, int], None]:
    end = "\r" if sys.stderr.isatty() else "\n"

    def tell(done: int, total: int) -> None:
        print(f"{done} of {total}", end=end, file=sys.stderr, flush=True)

    return tell


def _told(report: AdoptionReport) -> Sequence[str]:
    contents = report.contents
    verb = "would come over" if report.dry_run else "came over"
    lines = [
        f"{report.adopted} memories {verb}, {report.known} had before (of {contents.memories}, with vectors of"
        f" {contents.dimensions} dimensions, {report.kept_vectors} of which fit)"
    ]
    for count, text in (
        (report.undated, "have no date that could be used: they are taken to be of today"),
        (report.without_metadata, "have more metadata than a memory may have: it is left out"),
        (report.accesses, "are known to have been recalled before: that came over as well"),
        (report.checkpoints, "marks of Dify conversations came over: reading goes on behind them"),
        (report.ownerless, "name no user and stay where they are: say whose they shall be (--owner-for-ownerless ID)"),
        (report.unfit_count, "cannot be memories and stay where they are:"),
    ):
        if count:
            lines.append(f"{count} {text}")
    lines += [f"  {row.id}: {shown(row.why)}" for row in report.unfit]
    internal = ", ".join(f"{shown(kind)}: {count}" for kind, count in contents.internal.items())
    if internal:
        lines.append(f"mem0's plugin for Dify noted there for itself: {internal}")
    if contents.entities:
        lines.append(f"{contents.entities} names that mem0 took down beside it stay there: they are found anew by us")
    return [*lines, *_ending(report)]


def _ending(report: AdoptionReport) -> Sequence[str]:
    if report.dry_run:
        return ["nothing was changed"]
    return [
        "mem0's table was not changed. Once nobody writes there any more and you miss nothing: take it out of the"
        " settings (Memory.mem0ai.adopt, or vector_store) and DROP TABLE it, with the one beside it (_entities)"
    ]

"""`python -m bench.server`: how soon a device hears an answer, how evenly, and what a turn costs the server.

Server, stand-in cloud and devices are three processes on this machine, so the figures include what the other two
take from it. Percentiles of one run each; run it on a quiet machine.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.flame import flame_graph
from bench.plain_turn import PlainTurns
from bench.processes import PROJECT, Process, Usage, Watch
from bench.profiling import MOST, Profiler, awake, most_own_time, shown
from firmware_sim.load import PHRASE, percentiles

REALISTIC = ("--chat", "delay_s=0.3,step_s=0.02", "--transcription", "delay_s=0.2", "--speech", "delay_s=0.15")
LOAD_LIMIT_S = 600
PROFILE_HELP = f"""sample the server while it is under load: below the table come, for each case, the {MOST} functions
with the largest own share of the samples, each with the line that it was most often met at; the folder gets a flame
graph of each case (CASE.svg) and all its stacks (CASE.txt)"""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    devices: int
    mode: str = "manual"
    turns: int = 4
    period_s: float = 10.0
    memory: str = "nomem"
    cloud: tuple[str, ...] = ()


CASES = (
    Case("manual-25", 25),
    Case("manual-100", 100),
    Case("manual-300", 300),
    Case("memory-25", 25, memory="mem0ai"),
    Case("memory-100", 100, memory="mem0ai"),
    Case("memory-300", 300, memory="mem0ai"),
    Case("auto-25", 25, mode="auto"),
    Case("realistic-100", 100, cloud=REALISTIC),
    Case("idle-500", 500, mode="idle", turns=0),
)
COLUMNS = ("case", "first audio p50/p95/p99 ms", "hello p50/p95 ms", "CPU ms/turn", "database ms/turn", "underruns",
           "lost", "threads", "KiB/conn", "failures")  # fmt: skip


def run_case(case: Case, profile: Path | None) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Process(["firmware_sim", "cloud", "--port", "0", "--phrase", PHRASE, *case.cloud], r"(http://\S+/v1)") as cloud,
        _server(Path(folder), cloud.found, case.memory) as server,
    ):
        # Everything is loaded once.
        _load(server.found, replace(case, devices=2, turns=1, mode="manual", period_s=1.0))
        postgres = _postgres_pid(Path(folder) / "data")
        profiler = Profiler(server.pid, _stacks_file(profile, case)) if profile else nullcontext()
        with profiler, Watch(server.pid) as usage, Watch(postgres) as database:
            report = _load(server.found, case)
        floor = _floor(report, case, cloud.found) if case.cloud else {}
    used = {"server": asdict(usage), "database": asdict(database)}
    return {"case": case.name, **report, **used, **derived(report, usage, database, case), **floor}


def _floor(report: dict[str, Any], case: Case, cloud_url: str) -> dict[str, Any]:
    """What the delays of the services alone take, for a client that does nothing else, and the server's part."""
    clients = PlainTurns(cloud_url, case.devices, case.turns, case.period_s)
    plain = percentiles(asyncio.run(clients.measure()))
    return {"plain_turn_ms": plain, "overhead_ms": overhead(report["first_audio_ms"], plain)}


def overhead(first_audio: dict[str, float], plain: dict[str, float]) -> dict[str, float]:
    """By how much the server's 95th percentile is later than the plain client usually is, and than its own."""
    if not first_audio or not plain:
        return {}
    return {f"p95_over_plain_{name}": round(first_audio["p95"] - plain[name], 1) for name in ("p50", "p95")}


def _stacks_file(folder: Path, case: Case) -> Path:
    return folder / f"{case.name}.txt"


def _postgres_pid(data_folder: Path) -> int:
    """The embedded PostgreSQL is no child of the server, which several may share; it says itself who it is."""
    return int((data_folder / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])


def _server(folder: Path, cloud_url: str, memory: str) -> Process:
    environment = {
        "XIAOZHI__SERVER__IP": "127.0.0.1",
        "XIAOZHI__LOG__LOG_DIR": str(folder / "log"),
        "XIAOZHI__SELECTED_MODULE__MEMORY": memory,
        "OPENAI_API_KEY": "stand-in",
        "OPENAI_BASE_URL": cloud_url,
    }
    options = ["--data-dir", str(folder / "data"), "--port", "0", "--http-port", "0", "--preset", "openai"]
    return Process(["xiaozhi_server", "serve", *options], r"(http://\S+/xiaozhi/ota/)", environment)


def _load(ota_url: str, case: Case) -> dict[str, Any]:
    talk = ["--turns", str(case.turns), "--period", str(case.period_s), "--mode", case.mode]
    options = ["--ota", ota_url, "--json", "--devices", str(case.devices), *talk]
    command = [sys.executable, "-m", "firmware_sim", "load", *options]
    done = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, timeout=LOAD_LIMIT_S, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def derived(report: dict[str, Any], usage: Usage, database: Usage, case: Case) -> dict[str, Any]:
    turns = report["turns_done"]
    return {
        "cpu_ms_per_turn": round(usage.cpu_s * 1000 / turns, 1) if turns else None,
        "database_ms_per_turn": round((database.cpu_s + database.children_cpu_s) * 1000 / turns, 1) if turns else None,
        "kib_per_connection": round((usage.rss_most_kib - usage.rss_before_kib) / case.devices, 1),
    }


def row(figures: dict[str, Any]) -> tuple[str, ...]:
    first, hello = figures["first_audio_ms"], figures["hello_ms"]
    return (
        figures["case"],
        "/".join(str(first[name]) for name in ("p50", "p95", "p99")) if first else "-",
        f"{hello['p50']}/{hello['p95']}" if hello else "-",
        *(_or_dash(figures[name]) for name in ("cpu_ms_per_turn", "database_ms_per_turn")),
        f"{figures['underruns']} of {figures['frames']}",
        str(figures["lost_frames"]),
        str(figures["server"]["threads_most"]),
        str(figures["kib_per_connection"]),
        json.dumps(figures["failures"]) if figures["failures"] else "none",
    )


def _or_dash(value: float | None) -> str:
    return "-" if value is None else str(value)


def table(rows: list[tuple[str, ...]]) -> str:
    lines = [COLUMNS, tuple("-" * len(column) for column in COLUMNS), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def notes(figures: dict[str, Any]) -> list[str]:
    """What does not fit into the table."""
    if not figures.get("overhead_ms"):
        return []
    plain, over = figures["plain_turn_ms"], figures["overhead_ms"]
    return [
        f"{figures['case']}: a plain client has the first sound of the services after {plain['p50']}/{plain['p95']} ms "
        f"(p50/p95); overhead of the server: its p95 is {over['p95_over_plain_p50']} ms above that median, "
        f"{over['p95_over_plain_p95']} ms above that p95"
    ]


def _profiled(folder: Path, case: Case) -> list[str]:
    file = _stacks_file(folder, case)
    if not file.exists():
        return [f"{case.name}: py-spy wrote nothing; it may need more rights to look into the server"]
    stacks = awake(file.read_text())
    file.with_suffix(".svg").write_text(flame_graph(stacks))
    return shown(f"{case.name}: where the server was met (own share of the samples)", most_own_time(stacks))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.server", description=__doc__)
    names = [case.name for case in CASES]
    parser.add_argument("--case", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help=PROFILE_HELP)
    options = parser.parse_args()
    if options.profile:
        options.profile.mkdir(parents=True, exist_ok=True)
    chosen = [case for case in CASES if not options.case or case.name in options.case]
    results = []
    for case in chosen:
        print(f"{case.name} ...", file=sys.stderr, flush=True)
        results.append(run_case(case, options.profile))
    print(table([row(figures) for figures in results]))
    for note in (note for figures in results for note in notes(figures)):
        print(note)
    if options.profile:
        for case in chosen:
            print(*_profiled(options.profile, case), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The bench of the server: a tiny case from beginning to end, and how its figures are told."""

from typing import Any

from bench.processes import Usage
from bench.server import COLUMNS, Case, derived, row, run_case, table

FIGURES: dict[str, Any] = {
    "case": "small",
    "turns_done": 4,
    "first_audio_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0},
    "hello_ms": {"p50": 5.0, "p95": 6.0, "p99": 7.0, "max": 8.0},
    "underruns": 1,
    "frames": 100,
    "lost_frames": 2,
    "failures": {},
    "server": {"threads_most": 7},
}
USED = Usage(cpu_s=0.08, rss_before_kib=1000, rss_most_kib=1100, threads_most=7)
DATABASE = Usage(cpu_s=0.004, children_cpu_s=0.016)


def cells(figures: dict[str, Any]) -> dict[str, str]:
    return dict(zip(COLUMNS, row(figures), strict=True))


def test_a_tiny_case_with_slow_services() -> None:
    slow = ("--chat", "delay_s=0.05")
    figures = run_case(Case("tiny", devices=2, turns=1, period_s=1.0, cloud=slow), profile=None)
    assert (figures["turns_done"], figures["failures"]) == (2, {})
    assert figures["plain_turn_ms"]["p50"] >= 50
    assert figures["overhead_ms"].keys() == {"p95_over_plain_p50", "p95_over_plain_p95"}
    assert figures["cpu_ms_per_turn"] > 0
    assert figures["server"]["threads_most"] > 1
    assert cells(figures)["database ms/turn"] != "-"


def test_what_a_turn_costs_the_server_and_the_database() -> None:
    assert derived(FIGURES, USED, DATABASE, Case("small", devices=2)) == {
        "cpu_ms_per_turn": 20.0, "database_ms_per_turn": 5.0, "kib_per_connection": 50.0
    }  # fmt: skip


def test_each_figure_is_in_its_column() -> None:
    shown = cells(FIGURES | derived(FIGURES, USED, DATABASE, Case("small", devices=2)))
    assert shown == {
        "case": "small",
        "first audio p50/p95/p99 ms": "1.0/2.0/3.0",
        "hello p50/p95 ms": "5.0/6.0",
        "CPU ms/turn": "20.0",
        "database ms/turn": "5.0",
        "underruns": "1 of 100",
        "lost": "2",
        "threads": "7",
        "KiB/conn": "50.0",
        "failures": "none",
    }


def test_devices_that_only_stay_connected_have_no_costs_of_a_turn() -> None:
    idle = FIGURES | {"turns_done": 0, "first_audio_ms": {}, "failures": {"connect: ConnectError": 1}}
    shown = cells(idle | derived(idle, USED, DATABASE, Case("idle", devices=2)))
    assert (shown["first audio p50/p95/p99 ms"], shown["CPU ms/turn"], shown["database ms/turn"]) == ("-", "-", "-")
    assert shown["failures"] == '{"connect: ConnectError": 1}'


def test_the_columns_of_the_table_stand_below_each_other() -> None:
    lines = table([("x",) * len(COLUMNS), ("longer",) * len(COLUMNS)]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({tuple(i for i, letter in enumerate(line) if letter == "|") for line in lines}) == 1

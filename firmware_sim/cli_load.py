"""The command line of the load: many devices from one process, progress on the way, percentiles at the end."""

import argparse
import json
import sys
from typing import Any, get_args

from firmware_sim.device import DEFAULT_OTA_URL
from firmware_sim.load import Load, LoadMode, LoadPlan

PERCENTILES = ("p50", "p95", "p99", "max")


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ota", default=DEFAULT_OTA_URL, metavar="URL", help="default: %(default)s")
    parser.add_argument("--devices", type=int, default=25, metavar="N", help="default: %(default)s")
    parser.add_argument("--turns", type=int, default=3, metavar="M", help="of each device; default: %(default)s")
    parser.add_argument("--mode", choices=get_args(LoadMode), default="manual", help="default: %(default)s")
    parser.add_argument("--period", type=float, default=10.0, metavar="SECONDS", help="one turn each; default: 10")
    parser.add_argument("--idle", type=float, default=10.0, metavar="SECONDS", help="mode idle: how long to stay")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


async def run_load(options: argparse.Namespace) -> int:
    plan = LoadPlan(
        ota_url=options.ota,
        devices=options.devices,
        turns=options.turns,
        mode=options.mode,
        period_s=options.period,
        idle_s=options.idle,
    )
    result = await Load(plan, _show_progress).run()
    report = result.report(plan)
    print(json.dumps(report) if options.json else "\n".join(report_lines(report)))
    return 1 if result.failures else 0


def report_lines(report: dict[str, Any]) -> list[str]:
    return [
        f"{report['turns_done']} turns of {report['devices']} devices, mode {report['mode']}",
        f"hello        {_shown(report['hello_ms'])}",
        f"first audio  {_shown(report['first_audio_ms'])}",
        f"frames       {report['frames']} heard, {report['underruns']} underruns ({report['underrun_ms']:g} ms), "
        f"{report['lost_frames']} lost",
        f"failures     {report['failures'] or 'none'}",
    ]


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {figures[name]:g} ms" for name in PERCENTILES) if figures else "-"


def _show_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

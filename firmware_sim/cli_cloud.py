"""The command line of the stand-in cloud: its address, what it hears, and how it misbehaves from the start."""

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from firmware_sim.cloud import Extraction, Fault, StandInCloud
from firmware_sim.cloud.faults import SERVICES
from firmware_sim.phrases import vocabulary

T = TypeVar("T")


def add_cloud_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8090, help="default: %(default)s")
    parser.add_argument("--phrase", action="append", default=[], help="one more phrase to recognise; may be repeated")
    parser.add_argument("--phrases", type=Path, metavar="FILE", help="more phrases, one a line")
    parser.add_argument("--api-key", metavar="KEY", help="refuse every other key; by default any will do")
    parser.add_argument("--context-tokens", type=int, metavar="N", help="refuse a longer chat request; default: none")
    parser.add_argument(
        "--extraction",
        type=partial(_parse, Extraction),
        default=Extraction(),
        metavar="FAULT",
        help="such as delay_s=2,failures=1: how the Mem0 platform makes memories",
    )
    parser.add_argument("--only", action="append", choices=SERVICES, help="offer only this service; may be repeated")
    for service in SERVICES:
        parser.add_argument(
            f"--{service}",
            type=parse_fault,
            default=Fault(),
            metavar="FAULT",
            help="such as delay_s=0.3,step_s=0.02 or status=500 or mode=stall,times=2",
        )


def parse_fault(text: str) -> Fault:
    """`name=value,…` as a fault."""
    return _parse(Fault, text)


def _parse(kind: Callable[..., T], text: str) -> T:
    given: dict[str, Any] = dict(part.partition("=")[::2] for part in text.split(","))
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise argparse.ArgumentTypeError(f"{first['loc'][0]}: {first['msg']}") from error


async def run_cloud(options: argparse.Namespace) -> int:
    cloud = StandInCloud(
        host=options.host,
        port=options.port,
        phrases=[*vocabulary(), *options.phrase, *_phrases_from(options.phrases)],
        services=options.only or SERVICES,
        api_key=options.api_key,
        context_tokens=options.context_tokens,
    )
    for service in SERVICES:
        setattr(cloud.faults, service, getattr(options, service))
    cloud.platform.memories.extraction = options.extraction
    stop = _stop_on_signal()
    async with cloud:
        if options.only is None or "transcription" in options.only:
            await cloud.warm_up()
        print(f"stand-in cloud: {cloud.base_url}", flush=True)
        print("Use it as OPENAI_BASE_URL with any key; POST /_control sets faults, GET /_stats counts.", flush=True)
        print(f"Mem0 platform: {cloud.memory_host} (host of Memory.mem0ai, with any api_key)", flush=True)
        await stop.wait()
    return 0


def _phrases_from(path: Path | None) -> list[str]:
    if path is None:
        return []
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C arrives as KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    return stop

"""The command line of the simulated device: chat, say, scenario, cloud, load. It parses and prints, no more."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from firmware_sim.bootstrap import Activation
from firmware_sim.cli_chat import Chat
from firmware_sim.cli_cloud import add_cloud_arguments, run_cloud
from firmware_sim.cli_load import add_load_arguments, run_load
from firmware_sim.device import DEFAULT_OTA_URL, SimulatedDevice
from firmware_sim.errors import BootError, FirmwareError
from firmware_sim.report import reply_line, run_lines, run_report
from firmware_sim.scenario import ScenarioError, StepResult, load_scenario, run_scenario
from firmware_sim.speech import speak
from firmware_sim.wav import write_wav

DEFAULT_MAC = "02:00:00:00:00:01"  # always the same: a device that comes back is the same device
Command = Callable[[argparse.Namespace], Coroutine[None, None, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return asyncio.run(command(options))
    except (FirmwareError, ScenarioError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m firmware_sim", description="A xiaozhi device in software.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    chat = commands.add_parser("chat", help="a conversation: typed lines, spoken replies reported")
    chat.add_argument("--play", action="store_true", help="play the replies, where the system has a player")
    chat.set_defaults(command=_chat)

    say = commands.add_parser("say", help="say one text aloud and write the reply to a WAV file")
    say.add_argument("text")
    say.add_argument("--mode", choices=("auto", "manual", "realtime"), default="auto")
    say.add_argument("--wav", type=Path, default=Path("reply.wav"), help="default: %(default)s")
    say.set_defaults(command=_say)

    scenario = commands.add_parser("scenario", help="run the steps of a YAML file and check the replies")
    scenario.add_argument("file", type=Path)
    scenario.set_defaults(command=_scenario)

    for command in (chat, say, scenario):
        _add_device_arguments(command)
    cloud = commands.add_parser("cloud", help="a stand-in for a model, recogniser, voice and Mem0 platform over HTTP")
    add_cloud_arguments(cloud)
    cloud.set_defaults(command=run_cloud)
    load = commands.add_parser("load", help="many devices at once, and what they hear")
    add_load_arguments(load)
    load.set_defaults(command=run_load)
    return parser


def _add_device_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ota", default=DEFAULT_OTA_URL, metavar="URL", help="default: %(default)s")
    parser.add_argument("--mac", default=DEFAULT_MAC, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="how long a reply may take")


async def _booted(options: argparse.Namespace) -> SimulatedDevice:
    device = SimulatedDevice(options.ota, mac=options.mac)
    try:
        await device.boot(on_activation=_announce)
    except BootError as error:
        if isinstance(error.__cause__, OSError):
            raise BootError(f"{error}: is the server running (make run)? --ota names another one") from error
        raise
    return device


def _announce(activation: Activation) -> None:
    print(f"This device is not activated yet. {activation.message} Code: {activation.code}", file=sys.stderr)


async def _chat(options: argparse.Namespace) -> int:
    async with await _booted(options) as device:
        chat = Chat(device, timeout_s=options.timeout, as_json=options.json, with_sound=options.play)
        await chat.run()
        report = run_report(device, chat.replies)
    _print_end(report, options)
    return 1 if chat.failures else 0


async def _say(options: argparse.Namespace) -> int:
    sound = speak(options.text)
    if not sound:
        raise FirmwareError("there is nothing to say")
    if not options.wav.parent.is_dir():
        raise FirmwareError(f"{options.wav}: there is no such folder")
    async with await _booted(options) as device:
        reply = await device.say_pcm(sound, mode=options.mode, timeout_s=options.timeout)
        report = run_report(device, [reply])
    write_wav(options.wav, reply.pcm, reply.sample_rate)
    if options.json:
        print(json.dumps(report | {"reply": reply.report(), "wav": str(options.wav)}, ensure_ascii=False))
        return 0
    print(f"heard: {reply.stt or '-'}\nreply: {reply.text or '-'}\n  [{reply_line(reply)}]\nsound: {options.wav}")
    _print_end(report, options)
    return 0


async def _scenario(options: argparse.Namespace) -> int:
    scenario = load_scenario(options.file)
    options.mac = scenario.mac or options.mac
    show = (lambda _: None) if options.json else _print_step
    async with await _booted(options) as device:
        results = await run_scenario(scenario, device, show)
        report = run_report(device, [result.reply for result in results if result.reply])
    report["steps"] = [result.report() for result in results]
    _print_end(report, options)
    return 1 if any(result.failures for result in results) else 0


def _print_step(result: StepResult) -> None:
    print(f"{'ok  ' if not result.failures else 'FAIL'} {result.title}")
    if result.reply:
        print(f"     < {result.reply.text}\n       [{reply_line(result.reply)}]")
    for failure in result.failures:
        print(f"     ! {failure}")


def _print_end(report: dict[str, object], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print("\n".join(["", *run_lines(report)]))

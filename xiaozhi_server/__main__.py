"""The command line: `serve` runs the server, `check` tries everything that it will need, `devices` says who may come,
`memory` shows and mends what is remembered.

It builds nothing itself.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    sys.exit(f"xiaozhi-server needs Python 3.11, 3.12 or 3.13, and this is {found}: install one of them and try again")

import signal

if __name__ == "__main__":
    # Until the server's own handlers stand there is nothing to drain. A check that is broken off is not passed.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: sys.exit(0 if sys.argv[1:2] == ["serve"] else 128 + number))

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from .cli_memory_options import add_memory
from .settings import Files, Settings, SettingsError, load_settings

OPTIONS = {"data_dir": "--data-dir", "port": "--port", "http_port": "--http-port"}
KEYS = {"data_dir": "data_dir", "port": "server.port", "http_port": "server.http_port"}


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = build_parser().parse_args(arguments)
    try:
        settings = read_settings(chosen)
        return COMMANDS[chosen.command](settings, chosen)
    except SettingsError as problem:
        for line in problem.lines:
            print(line, file=sys.stderr)
        return 1
    except ImportError as problem:
        if problem.name != "libopus":
            raise
        print(problem.msg, file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m xiaozhi_server", description="A voice-agent server for ESP32 devices."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in (
        ("serve", "run the server until Ctrl-C"),
        ("check", "show the settings and where they come from, and try every chosen provider and the database"),
    ):
        _add_options(commands.add_parser(name, help=purpose, description=purpose))
    purpose = "show devices, give a device id to another client, or shut a device out"
    devices = commands.add_parser("devices", help=purpose, description=purpose)
    devices.add_argument("action", choices=("list", "pair", "revoke"), metavar="list|pair|revoke")
    devices.add_argument("device_id", nargs="?", metavar="DEVICE", help="which one to pair or revoke: its MAC address")
    devices.add_argument("--client-id", metavar="ID", help="pair it with this client, not with the next that comes")
    _add_options(devices)
    add_memory(commands, _add_options)
    return parser


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help="settings that override everything but options")
    command.add_argument("--data-dir", metavar="DIR", help="where the database, .config.yaml and firmware lie")
    command.add_argument("--port", type=int, metavar="N", help="the websocket's port")
    command.add_argument("--http-port", type=int, metavar="N", help="the port for OTA and health")
    command.add_argument("--preset", metavar="NAME", help="a ready set of providers from presets/, such as openai")


def read_settings(chosen: argparse.Namespace) -> Settings:
    given = {name: getattr(chosen, name) for name in OPTIONS if getattr(chosen, name) is not None}
    overrides = {KEYS[name]: (OPTIONS[name], value) for name, value in given.items()}
    return load_settings(
        Files(config=chosen.config), preset=chosen.preset, environ=dict(os.environ), overrides=overrides
    )


def _serve(settings: Settings, _: argparse.Namespace) -> int:
    from .app import run
    from .logs import setup_logging

    setup_logging(settings)
    return run(settings)


def _check(settings: Settings, _: argparse.Namespace) -> int:
    from .check import run_check

    return run_check(settings)


def _devices(settings: Settings, chosen: argparse.Namespace) -> int:
    from .cli_devices import run_devices

    return run_devices(settings, chosen.action, chosen.device_id, chosen.client_id)


def _memory(settings: Settings, chosen: argparse.Namespace) -> int:
    from .cli_memory import run_memory

    return run_memory(settings, chosen)


COMMANDS = {"serve": _serve, "check": _check, "devices": _devices, "memory": _memory}

if __name__ == "__main__":
    sys.exit(main())

"""What the commands print and return, without a server."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xiaozhi_server import __main__ as command_line

PROJECT = Path(command_line.__file__).resolve().parents[1]


def test_a_wrong_setting_is_one_line_and_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".config.yaml").write_text("server: {prot: 1}")
    assert command_line.main(["serve", "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/.config.yaml: server.prot: unknown key: did you mean port?"
    ]


@pytest.mark.parametrize("arguments", [[], ["sing"], ["serve", "--port", "many"]])
def test_a_wrong_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m xiaozhi_server" in capsys.readouterr().err


def test_options_override_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".config.yaml").write_text("server: {port: 1, http_port: 2}")
    named = tmp_path / "named.yaml"
    named.write_text("server: {port: 3, http_port: 4, ip: 127.0.0.1}")
    monkeypatch.setenv("XIAOZHI__SERVER__PORT", "5")
    arguments = ["serve", "--data-dir", str(tmp_path), "--config", str(named), "--port", "6"]
    settings = command_line.read_settings(command_line.build_parser().parse_args(arguments))
    assert (settings.server.port, settings.server.http_port, settings.server.ip) == (6, 4, "127.0.0.1")
    assert settings.origins["server.port"] == "command line --port"
    assert settings.origins["server.http_port"] == f"{named}"


@pytest.mark.parametrize(("command", "code"), [("serve", 0), ("check", 128 + signal.SIGTERM)])
def test_a_signal_while_everything_is_still_loading_ends_it_without_a_word(command: str, code: int) -> None:
    script = (
        "import runpy, signal, sys; "
        f"sys.argv[1:] = [{command!r}]; "
        "sys.meta_path.insert(0, type('Finder', (), {'find_spec': lambda self, name, *_: "
        "signal.raise_signal(signal.SIGTERM) if name == 'argparse' else None})()); "
        "runpy.run_module('xiaozhi_server', run_name='__main__', alter_sys=False)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


def test_a_wrong_python_is_one_line() -> None:
    code = (
        "import sys, runpy; sys.version_info = (3, 9, 1, 'final', 0); "
        "runpy.run_module('xiaozhi_server.__main__', run_name='__main__')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "xiaozhi-server needs Python 3.11, 3.12 or 3.13, and this is 3.9: install one of them and try again"
    ]


def test_without_libopus_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(name: str) -> Callable[..., int]:
        def serve(*_: object) -> int:
            raise ImportError(f"{name} is missing: install it", name=name)

        return serve

    monkeypatch.setitem(command_line.COMMANDS, "serve", without("libopus"))
    assert command_line.main(["serve", "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "libopus is missing: install it\n"
    monkeypatch.setitem(command_line.COMMANDS, "serve", without("something"))
    with pytest.raises(ImportError):
        command_line.main(["serve", "--data-dir", str(tmp_path)])

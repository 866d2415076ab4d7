"""`python -m xiaozhi_server devices`, as its own process beside a server that runs."""

import asyncio
import sys
from pathlib import Path

import pytest

from firmware_sim.device import SimulatedDevice
from firmware_sim.errors import ConnectError
from tests.support.server_process import PROJECT, ServerProcess

MAC = "02:00:00:00:03:11"
LIMIT_S = 30.0


async def devices(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, what was printed, what was complained."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "xiaozhi_server", "devices", *arguments, "--data-dir", str(folder / "data"),
        cwd=PROJECT, env={"PATH": "", **environment},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        out, complaints = await process.communicate()
    return process.returncode or 0, out.decode(), complaints.decode()


async def test_list_pair_and_revoke_beside_a_running_server(tmp_path: Path) -> None:
    auth = {"XIAOZHI__SERVER__AUTH__ENABLED": "true", "XIAOZHI__SELECTED_MODULE__MEMORY": "nomem"}
    async with (
        ServerProcess(tmp_path, environment=auth) as server,
        SimulatedDevice(server.ota_url, mac=MAC, client_id="first") as device,
    ):
        await server.wait_for_line(r"Who may come +devices with a token")
        await device.boot()
        await device.connect()

        code, out, _ = await devices(tmp_path, "list", **auth)
        assert code == 0
        heading, row = (line.split() for line in out.splitlines())
        assert heading[:3] == ["DEVICE", "STATE", "CLIENT"]
        assert row[:5] == [MAC, "paired", "first", "bread-compact-wifi", "2.4.2"]

        code, out, complaints = await devices(tmp_path, "revoke", MAC.upper(), **auth)
        assert (code, complaints) == (0, "")
        assert out == f"{MAC} is shut out until `devices pair {MAC}`\n"
        await device.wait_closed(timeout_s=1.0)  # the contract's own bound, from the end of the command
        await device.boot()
        with pytest.raises(ConnectError, match=r"401|403"):
            await device.connect()
        assert "revoked" in (await devices(tmp_path, "list", **auth))[1]

        assert (await devices(tmp_path, "pair", MAC, "--client-id", "first", **auth))[0] == 0
        await device.boot()
        await device.connect()
        assert device.connected


async def test_mistakes_are_one_line_and_a_failure_and_off_is_said(tmp_path: Path) -> None:
    async with ServerProcess(tmp_path, environment={"XIAOZHI__SELECTED_MODULE__MEMORY": "nomem"}) as server:
        await server.wait_for_line(r"Who may come .*\(server\.auth is off\)")
        code, out, complaints = await devices(tmp_path, "revoke", MAC)
        assert (code, out, complaints) == (1, "", f"{MAC} is not known: see `devices list`\n")
        code, _, complaints = await devices(tmp_path, "pair")
        assert (code, complaints) == (1, "devices pair needs a device id, such as aa:bb:cc:dd:ee:ff\n")
        code, out, _ = await devices(tmp_path, "pair", MAC)
        assert code == 0
        assert "server.auth.enabled is false" in out.splitlines()[-1]

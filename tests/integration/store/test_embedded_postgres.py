"""The embedded PostgreSQL with real processes that are really killed."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.log_lines import LogLines, log_lines
from xiaozhi_server.store.embedded import EmbeddedPostgres, EmbeddedPostgresError, read_password

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
# A server as far as the keeper can tell: starts, says its address, holds on until its input ends.
USER = """
import asyncio, sys
from pathlib import Path
from xiaozhi_server.store.embedded import EmbeddedPostgres

async def main():
    embedded = EmbeddedPostgres(Path(sys.argv[1]))
    print(await embedded.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await embedded.stop()

asyncio.run(main())
"""


@asynccontextmanager
async def user_process(data_dir: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", USER, str(data_dir)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()


async def leave(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def becomes(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 other processes give no event
            await asyncio.sleep(0.01)


def keeper_pid(data_dir: Path) -> int:
    return int(json.loads((data_dir / "postgres" / "keeper.json").read_text())["pid"])


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])


def runtime(dsn: str) -> Path:
    return Path(str(psycopg.conninfo.conninfo_to_dict(dsn)["host"])).parent


def alive(pid: int) -> bool:
    """A zombie is not; neither is one that goes while we look."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text() if Path("/proc").is_dir() else ""
    except (ProcessLookupError, FileNotFoundError):
        return False
    return not state or state.rpartition(")")[2].split()[0] != "Z"


def process_owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def another_postmaster(data_dir: Path, old: int) -> bool:
    try:
        return postmaster_pid(data_dir) != old
    except (FileNotFoundError, IndexError):  # between the two, or not yet written
        return False


def keeper_is_there(data_dir: Path) -> bool:
    """It holds its lock for as long as it lives."""
    with (data_dir / "postgres" / "keeper.lock").open() as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def users_of(keeper: int) -> int:
    """How many servers hold a socket of it. Beside those it listens, and has two ends to wake itself."""
    sockets = [link for link in Path(f"/proc/{keeper}/fd").iterdir() if str(link.readlink()).startswith("socket:")]
    return len(sockets) - 3


def said(lines: LogLines, text: str) -> int:
    return len(lines.with_text(text))


def reachable(dsn: str) -> bool:
    try:
        return answers(dsn) == "xiaozhi:5"
    except psycopg.OperationalError:
        return False


def answers(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT current_user || ':' || ('[3,4]'::vector <-> '[0,0]'::vector)").fetchone()
        assert row is not None
        return str(row[0])


async def test_starts_stops_and_keeps_what_was_written(tmp_path: Path) -> None:
    for expected in ([1], [1, 2]):
        embedded = EmbeddedPostgres(tmp_path / "new" / "data")
        dsn = await embedded.start()
        assert answers(dsn) == "xiaozhi:5"
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
            connection.execute("INSERT INTO kept SELECT count(*) + 1 FROM kept")
            assert [n for (n,) in connection.execute("SELECT n FROM kept ORDER BY n")] == expected
        postmaster = postmaster_pid(tmp_path / "new" / "data")
        await embedded.stop()
        assert not alive(postmaster)
        await embedded.stop()


async def test_postgres_ends_with_a_server_that_is_killed_and_what_was_committed_is_there(tmp_path: Path) -> None:
    async with user_process(tmp_path) as process:
        dsn = await address(process)
        with psycopg.connect(dsn) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        postmaster, keeper = postmaster_pid(tmp_path), keeper_pid(tmp_path)
        process.kill()
        await becomes(lambda: not alive(postmaster) and not alive(keeper))
    assert not runtime(dsn).exists()
    async with user_process(tmp_path) as process:
        with psycopg.connect(await address(process)) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
        await leave(process)


async def test_others_attach_and_the_last_one_turns_the_light_off(tmp_path: Path) -> None:
    async with user_process(tmp_path) as first, user_process(tmp_path) as second, user_process(tmp_path) as third:
        processes = (first, second, third)
        dsns = {await address(process) for process in processes}
        assert len(dsns) == 1
        postmaster = postmaster_pid(tmp_path)
        first.kill()
        await first.wait()
        await leave(second)
        assert answers(dsns.pop()) == "xiaozhi:5"
        await leave(third)
        assert not alive(postmaster)


@LINUX_ONLY
async def test_a_killed_keeper_takes_postgres_with_it_and_the_next_start_recovers(tmp_path: Path) -> None:
    async with user_process(tmp_path) as process:
        old = await address(process)
        postmaster, keeper = postmaster_pid(tmp_path), keeper_pid(tmp_path)
        process.kill()
        os.kill(keeper, signal.SIGKILL)
        await process.wait()
    embedded = EmbeddedPostgres(tmp_path)
    dsn = await embedded.start()
    assert answers(dsn) == "xiaozhi:5"
    assert not alive(postmaster)
    await embedded.stop()
    for place in (old, dsn):
        assert not runtime(place).exists()


@pytest.mark.parametrize(
    "victims", [("keeper",), ("postmaster",), ("keeper", "postmaster"), ("postmaster", "keeper")], ids=" and ".join
)
@LINUX_ONLY
async def test_what_was_killed_is_started_again_at_the_same_address(tmp_path: Path, victims: tuple[str, ...]) -> None:
    """Nobody asks for it: the one who uses it is there, and sees to it."""
    embedded = EmbeddedPostgres(tmp_path)
    dsn = await embedded.start()
    with log_lines() as lines:
        for round_ in range(1, 4):
            pids = {"keeper": keeper_pid(tmp_path), "postmaster": postmaster_pid(tmp_path)}
            for victim in victims:
                os.kill(pids[victim], signal.SIGKILL)
            await becomes(lambda: not any(alive(pids[victim]) for victim in victims))  # noqa: B023 waited for at once
            await becomes(lambda: said(lines, "is back") == round_)  # noqa: B023 waited for at once
            assert answers(dsn) == "xiaozhi:5"
            assert not alive(pids["postmaster"])
        gone = "the keeper of the embedded PostgreSQL has gone" if "keeper" in victims else "has ended: it is started"
        assert said(lines, gone) == 3
    postmaster = postmaster_pid(tmp_path)
    await embedded.stop()
    assert not alive(postmaster)
    assert not runtime(dsn).exists()


@LINUX_ONLY
async def test_of_several_servers_one_starts_it_again_and_all_use_it(tmp_path: Path) -> None:
    async with user_process(tmp_path) as first, user_process(tmp_path) as second, user_process(tmp_path) as third:
        processes = (first, second, third)
        (dsn,) = {await address(process) for process in processes}
        old = keeper_pid(tmp_path)
        os.kill(old, signal.SIGKILL)
        await becomes(lambda: not alive(old) and reachable(dsn))
        await becomes(lambda: users_of(keeper_pid(tmp_path)) == len(processes))
        first.kill()
        await first.wait()
        await leave(second)
        assert answers(dsn) == "xiaozhi:5"
        postmaster = postmaster_pid(tmp_path)
        await leave(third)
        assert not alive(postmaster)


@LINUX_ONLY
async def test_what_cannot_be_started_again_is_tried_until_it_can(tmp_path: Path) -> None:
    embedded = EmbeddedPostgres(tmp_path, pauses_s=(0.0, 0.05))
    dsn = await embedded.start()
    version = tmp_path / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("15\n")
    with log_lines() as lines:
        os.kill(keeper_pid(tmp_path), signal.SIGKILL)
        await becomes(lambda: said(lines, "cannot be started again: ") >= 3)
        assert lines.with_text("made by PostgreSQL 15")
        version.write_text("18\n")
        await becomes(lambda: said(lines, "is back") == 1)
    assert answers(dsn) == "xiaozhi:5"
    await embedded.stop()
    assert not runtime(dsn).exists()


@LINUX_ONLY
async def test_who_leaves_while_it_is_started_again_leaves_nothing_running(tmp_path: Path) -> None:
    embedded = EmbeddedPostgres(tmp_path)
    await embedded.start()
    for moment in ("at once", "there is a keeper", "there is a postmaster"):
        keeper, postmaster = keeper_pid(tmp_path), postmaster_pid(tmp_path)
        os.kill(keeper, signal.SIGKILL)
        if moment == "there is a keeper":
            await becomes(lambda: keeper_pid(tmp_path) != keeper)  # noqa: B023 waited for at once
        elif moment == "there is a postmaster":
            await becomes(lambda: another_postmaster(tmp_path, postmaster))  # noqa: B023 waited for at once
        await embedded.stop()
        await becomes(lambda: not alive(postmaster) and not keeper_is_there(tmp_path))  # noqa: B023 waited for at once
        await embedded.start()
    await embedded.stop()


async def test_setting_up_that_was_killed_in_the_middle_is_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    for sight in ("cluster.new-*", "cluster.new-*/PG_VERSION", "cluster.new-*/base/1/PG_VERSION"):
        for old in folder.glob("cluster.new-*"):
            old.rename(tmp_path / old.name)
        async with user_process(tmp_path) as process:
            await becomes(lambda: any(folder.glob(sight)))  # noqa: B023 waited for at once
            os.kill(keeper_pid(tmp_path), signal.SIGKILL)
            process.kill()
        assert not (folder / "cluster").exists()
    embedded = EmbeddedPostgres(tmp_path)
    assert answers(await embedded.start()) == "xiaozhi:5"
    await embedded.stop()
    assert not list(folder.glob("cluster.new-*"))


async def test_a_cluster_of_another_version_is_left_alone(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 15"):
        await EmbeddedPostgres(tmp_path).start()


async def test_why_it_does_not_start_is_said(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("18\n")
    with pytest.raises(EmbeddedPostgresError, match=r"PostgreSQL did not start: .*\(more in .*postgres\.log\)"):
        await EmbeddedPostgres(tmp_path).start()


async def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(EmbeddedPostgresError, match="choose another --data-dir"):
        await EmbeddedPostgres(tmp_path / "data").start()


async def test_tcp_needs_the_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    embedded = EmbeddedPostgres(tmp_path, port=port)
    await embedded.start()
    password = read_password(tmp_path / "postgres")
    assert (tmp_path / "postgres" / "password").stat().st_mode & 0o777 == 0o600
    tcp = f"host=127.0.0.1 port={port} user=xiaozhi dbname=xiaozhi"
    assert answers(f"{tcp} password={password}") == "xiaozhi:5"
    with pytest.raises(psycopg.OperationalError, match="password"):
        answers(f"{tcp} password=wrong")
    await embedded.stop()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"database.port: port {port} is taken"):
            await EmbeddedPostgres(tmp_path, port=port).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give up root")
async def test_as_root_postgres_runs_as_somebody_else_below_a_folder_that_is_closed_to_them(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    embedded = EmbeddedPostgres(closed / "data")
    assert answers(await embedded.start()) == "xiaozhi:5"
    assert (closed / "data" / "postgres" / "cluster").stat().st_uid != 0
    assert closed.stat().st_mode & 0o777 == 0o700
    if sys.platform == "linux":
        assert process_owner(postmaster_pid(closed / "data")) != 0
    await embedded.stop()

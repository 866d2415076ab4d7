"""The small process between the servers of one data directory and their embedded PostgreSQL. Standard library only.

It runs as a script of its own (`python -I -S keeper.py '{…}'`), never inside the server. It makes the cluster, starts
PostgreSQL, and holds one socket for every server that uses it. The kernel closes such a socket even after a kill -9,
so when the last one is gone PostgreSQL is shut down, and nobody has to watch process ids. If PostgreSQL ends, it is
started again. If the keeper itself dies, Linux ends PostgreSQL through its parent-death signal, and the servers start
another keeper, which takes over the address.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import selectors
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "18"
DATABASE = "xiaozhi"
RUN_FILE = "keeper.json"
LOG_FILE = "postgres.log"
FRESH_PREFIX = "cluster.new-"
RUNTIME_PREFIX = "xiaozhi-"
CONTROL = "control"
_LOG_LIMIT_BYTES = 8 * 1024 * 1024
_TICK_S = 0.005
_HOUSEKEEPING_S = 60.0
_RESTART_PAUSE_S = 0.2
_LONGEST_RESTART_PAUSE_S = 30.0
_STEADY_S = 60.0  # who has run for so long is not in a series of crashes
_REMAINS_LIMIT_S = 15.0  # how long what is left of a killed PostgreSQL may take to vanish
_START_LIMIT_S = 300.0  # recovery after a crash may be long, but not for ever
_SHUTDOWN_STEPS = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_SIGNALS_OF_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
# Not `localhost`: with two addresses PostgreSQL is content with one, and the other may be somebody else's.
_LOOPBACK = "127.0.0.1"
_MAX_SOCKET_PATH = 103  # macOS allows 104 bytes with the closing zero, Linux 108

# One session in single-user mode, before anybody can connect. Our role is no superuser: the extension must be there.
# A statement ends at a line end; the last database is a copy of template1, so it has the extension too.
_SETUP = f"""\
CREATE EXTENSION vector;
CREATE ROLE {DATABASE} LOGIN;
CREATE DATABASE {DATABASE} OWNER {DATABASE};
"""

_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "60",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "io_method": "sync",
    "jit": "off",
    # Parallel queries need /dev/shm, of which a container has little; ours are small.
    "max_parallel_workers_per_gather": "0",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # What people said is in our statements and rows: neither may reach the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "log_min_duration_statement": "-1",
    "log_statement": "none",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
    "log_line_prefix": "%m [%p] ",
}


class KeeperError(Exception):
    """PostgreSQL cannot be started; the text is for the person at the terminal."""


# --- who PostgreSQL runs as ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """The user and group of PostgreSQL, which never runs as root."""

    uid: int
    gid: int
    dropped: bool  # the keeper is root and has to give up its own rights first


def choose_identity(cluster: Path, root: Path) -> Identity:
    """Ourselves; as root the owner of the cluster or of the data directory, else a user that every system has."""
    me = os.geteuid()
    if me != 0:
        if cluster.exists() and cluster.stat().st_uid != me:
            raise KeeperError(f"{cluster} belongs to user id {cluster.stat().st_uid}: start as that user, or as root")
        return Identity(me, os.getegid(), dropped=False)
    if cluster.exists():
        return Identity(cluster.stat().st_uid, cluster.stat().st_gid, dropped=True)
    owner = root.parent.stat().st_uid
    known = {entry.pw_uid: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    named = {entry.pw_name: entry for entry in known.values()}
    entry = known.get(owner) or named.get("postgres") or named.get("nobody")
    if entry is not None:
        return Identity(entry.pw_uid, entry.pw_gid, dropped=True)
    raise KeeperError("PostgreSQL refuses to run as root and there is no user `nobody`: start as an ordinary user")


def own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise KeeperError(f"user id {os.geteuid()} has no name on this system, which PostgreSQL needs") from None


def allows(path: Path, who: Identity, bit: int) -> bool:
    """Whether the plain permission bits let `who` read (4), write (2) or enter (1)."""
    status = path.stat()
    if status.st_uid == who.uid:
        return bool(status.st_mode >> 6 & bit)
    if status.st_gid == who.gid:
        return bool(status.st_mode >> 3 & bit)
    return bool(status.st_mode & bit)


# --- rights that let an unprivileged PostgreSQL live below a folder like /root -----------------------------------

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4


def needed_capability(who: Identity, program: Path, folders: list[Path]) -> int | None:
    """The least right that reaches what plain permissions do not.

    The permissions of folders above us are never changed. Searching folders is all it takes, unless the programs
    themselves were installed for root only.
    """
    if not who.dropped:
        return None
    if not allows(program, who, 1):
        return _CAP_DAC_OVERRIDE
    ancestors = {parent for folder in [program, *folders] for parent in folder.resolve().parents}
    if all(allows(folder, who, 1) for folder in ancestors):
        return None
    return _CAP_DAC_READ_SEARCH


def held_capabilities() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapPrm:"):
                return int(line.split()[1], 16)
    return 0


def available_capability(wanted: int | None) -> int | None:
    """Containers often keep only the greater of the two rights."""
    if wanted is None:
        return None
    held = held_capabilities()
    for capability in (wanted, _CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return capability
    raise KeeperError(
        "the data directory or the Python environment lies in a folder that only root may enter, and PostgreSQL"
        " must not run as root: move them, or start as an ordinary user"
    )


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def drop_rights(who: Identity, capability: int | None) -> None:
    """In the forked child: become `who`, and keep one right across exec if it is needed."""
    libc = _libc() if capability is not None else None
    if libc is not None:
        # A change of user then leaves the rights alone, and access(), by which initdb looks for postgres, sees them.
        _checked(libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "keep capabilities")
    os.setgroups([])
    os.setresgid(who.gid, who.gid, who.gid) if hasattr(os, "setresgid") else os.setgid(who.gid)
    os.setresuid(who.uid, who.uid, who.uid) if hasattr(os, "setresuid") else os.setuid(who.uid)
    if libc is not None and capability is not None:
        mask = 1 << capability
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        _checked(libc.capset(header, data), "set capabilities")
        _checked(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0), "raise capability")


def die_with_parent(parent: int) -> None:
    """Set last: changing the user clears it. SIGQUIT ends PostgreSQL at once; the next start recovers."""
    if sys.platform == "linux":
        _checked(_libc().prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0), "parent-death signal")
        if os.getppid() != parent:
            os._exit(1)


# --- the cluster's files -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where everything of one data directory is."""

    root: Path
    install: Path

    @property
    def cluster(self) -> Path:
        return self.root / "cluster"

    @property
    def log(self) -> Path:
        return self.root / LOG_FILE

    def program(self, name: str) -> Path:
        return self.install / "bin" / name


def check_version(cluster: Path) -> None:
    version = (cluster / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise KeeperError(f"{cluster} was made by PostgreSQL {version}, this is {VERSION}: dump it there, load it here")


def make_runtime_folder() -> Path:
    """A short private folder for the sockets: their paths must fit into about 100 bytes."""
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 mkdtemp makes it private
        folder = Path(tempfile.mkdtemp(prefix=RUNTIME_PREFIX, dir=base))
        if len(os.fsencode(folder / "pg" / ".s.PGSQL.65535.lock")) <= _MAX_SOCKET_PATH:
            return folder
        folder.rmdir()
    raise KeeperError("no folder for temporary files has a path that is short enough for a socket")


def take_over_runtime_folder(root: Path) -> Path | None:
    """That of a keeper that was killed, emptied: servers that outlived it look for PostgreSQL there.

    Temporary folders are everybody's: what stands there must be ours. We hold the lock, so no other keeper uses it.
    """
    with contextlib.suppress(OSError, ValueError, KeyError):
        folder = Path(json.loads((root / RUN_FILE).read_text())["runtime"])
        if not folder.name.startswith(RUNTIME_PREFIX):
            return None
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
            (folder / CONTROL).unlink(missing_ok=True)
            shutil.rmtree(folder / "pg", ignore_errors=True)
            return folder
    return None


def furnish_runtime_folder(folder: Path, who: Identity) -> None:
    folder.chmod(0o711 if who.dropped else 0o700)
    sockets = folder / "pg"
    sockets.mkdir(mode=0o700)
    if who.dropped:
        os.chown(sockets, who.uid, who.gid)


def write_access_files(cluster: Path, who: Identity, tcp: bool) -> None:
    """Through the socket only we ourselves come in, checked by the kernel; through TCP only with the password."""
    rules = ["local all all peer map=keeper"]
    if tcp:
        rules.append(f"host {DATABASE} {DATABASE} {_LOOPBACK}/32 scram-sha-256")
    users = [f'keeper "{own_name()}" {role}' for role in ("postgres", DATABASE)]
    for name, lines in (("pg_hba.conf", rules), ("pg_ident.conf", users)):
        path = cluster / name
        path.write_text("\n".join(lines) + "\n")
        if who.dropped:
            os.chown(path, who.uid, who.gid)


def is_ready(cluster: Path, pid: int) -> bool:
    """PostgreSQL says in its own file whether it takes connections."""
    with contextlib.suppress(OSError):
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
    return False


# --- the process itself ---------------------------------------------------------------------------------------------


class Keeper:
    """A state machine over sockets, one child process and a clock: waking → making → starting → ready → stopping."""

    def __init__(self, place: Place, port: int | None, lock_file: int) -> None:
        self._place = place
        self._port = port
        self._lock_file = lock_file
        self._who = choose_identity(place.cluster, place.root)
        self._capability = available_capability(
            needed_capability(self._who, place.program("postgres"), [place.root / "cluster"])
        )
        known = take_over_runtime_folder(place.root)
        self._runtime = known or make_runtime_folder()
        self._address_is_known = known is not None
        furnish_runtime_folder(self._runtime, self._who)
        self._selector = selectors.DefaultSelector()
        self._users: set[socket.socket] = set()
        self._leaving: set[socket.socket] = set()
        self._fresh: Path | None = None
        self._child: int | None = None
        self._phase = "waking"
        self._steps: list[tuple[list[str], bytes]] = []
        self._deadline = 0.0
        self._shutdown_steps = list(_SHUTDOWN_STEPS)
        self._log_offset = 0
        self._remains_until = time.monotonic() + _REMAINS_LIMIT_S
        self._ready_since = 0.0
        self._restart_pause_s = _RESTART_PAUSE_S

    # life

    def run(self, first_user: socket.socket) -> None:
        try:
            self._listen()
            self._join(first_user)
            self._begin()
            while not (self._phase == "stopping" and self._child is None):
                self._turn()
        except (KeeperError, OSError) as error:
            self._tell_all(state="failed", error=str(error))
        finally:
            self._clean_up()

    def _begin(self) -> None:
        if self._place.cluster.exists():
            check_version(self._place.cluster)
            self._start_postgres()
        else:
            self._make_cluster()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data()
        self._reap()
        self._check_clock()
        if not self._users and self._phase != "stopping":
            self._stop()

    def _patience(self) -> float:
        if self._phase == "starting":
            return _TICK_S
        return max(0.0, min(self._deadline - time.monotonic(), _HOUSEKEEPING_S)) if self._deadline else _HOUSEKEEPING_S

    def _check_clock(self) -> None:
        late = bool(self._deadline) and time.monotonic() >= self._deadline
        if self._phase == "starting" and self._child and is_ready(self._place.cluster, self._child):
            self._ready_since = time.monotonic()
            self._address_is_known = True
            self._enter("ready")
        elif late and self._phase == "starting":
            raise KeeperError(f"PostgreSQL did not become ready within {_START_LIMIT_S:g} s")
        elif late and self._phase == "restarting":
            self._start_postgres()
        elif late and self._phase == "stopping":
            self._stop()
        self._bound_log()

    def _bound_log(self) -> None:
        with contextlib.suppress(OSError):
            if self._place.log.stat().st_size > _LOG_LIMIT_BYTES:
                os.truncate(self._place.log, 0)

    def _enter(self, phase: str, limit_s: float | None = None) -> None:
        self._phase = phase
        self._deadline = time.monotonic() + limit_s if limit_s else 0.0
        self._tell_all(**self._state())

    # making and starting

    def _make_cluster(self) -> None:
        # It becomes `cluster` by one rename, or is thrown away. A new name each time: what was left of a killed
        # initdb may still be busy in the old one.
        self._fresh = fresh = Path(tempfile.mkdtemp(prefix=FRESH_PREFIX, dir=self._place.root))
        if self._who.dropped:
            os.chown(fresh, self._who.uid, self._who.gid)
        initdb = [str(self._place.program("initdb")), "-D", str(fresh), "-U", "postgres", "-A", "peer", "-E", "UTF8"]
        initdb += ["--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8", "--no-instructions"]
        single = [str(self._place.program("postgres")), "--single", "-D", str(fresh), "template1"]
        self._steps = [(initdb, b""), (single, _SETUP.encode())]
        self._enter("making", _START_LIMIT_S)
        self._next_step()

    def _next_step(self) -> None:
        if self._steps:
            self._child = self._spawn(*self._steps.pop(0))
            return
        # The tools have flushed every file; this makes the new name itself last.
        assert self._fresh is not None
        self._fresh.rename(self._place.cluster)
        folder = os.open(self._place.root, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self._start_postgres()

    def _start_postgres(self) -> None:
        write_access_files(self._place.cluster, self._who, self._port is not None)
        settings = _SETTINGS | {
            "listen_addresses": "" if self._port is None else _LOOPBACK,
            "port": str(self._port or 5432),
            "unix_socket_directories": str(self._runtime / "pg"),
            "unix_socket_permissions": "0700",
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        self._child = self._spawn([str(self._place.program("postgres")), "-D", str(self._place.cluster), *arguments])
        self._enter("starting", _START_LIMIT_S)

    def _spawn(self, command: list[str], given: bytes = b"") -> int:
        """Fork and exec with closed doors: only the log and the given input are open in the child."""
        self._log_offset = self._place.log.stat().st_size if self._place.log.exists() else 0
        log = os.open(self._place.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        reader, writer = os.pipe()
        os.write(writer, given)  # far below the size of a pipe
        os.close(writer)
        parent = os.getpid()
        # We ignore these, and so does the child at first: one that comes early must wait until it does not.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS_OF_OTHERS)
        child = os.fork()
        if child == 0:
            self._become(command, parent, reader, log, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # The child does the same; whoever is first, a signal to its group must not miss it.
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        os.close(log)
        os.close(reader)
        return child

    def _become(self, command: list[str], parent: int, reader: int, log: int, mask: set[Any]) -> None:
        try:
            os.setpgid(0, 0)
            os.dup2(reader, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for number in (*_SIGNALS_OF_OTHERS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.umask(0o077)
            if self._who.dropped:
                drop_rights(self._who, self._capability)
            die_with_parent(parent)
            os.execve(command[0], command, {"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin", "TZ": "UTC"})  # noqa: S606
        except BaseException as error:  # noqa: BLE001 the child must never return into the keeper's code
            os.write(2, f"cannot start {command[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def _reap(self) -> None:
        if self._child is None:
            return
        pid, status = os.waitpid(self._child, os.WNOHANG)
        if pid == 0:
            return
        self._child = None
        if self._phase == "making":
            if status != 0:
                raise KeeperError(self._complaint("PostgreSQL could not be set up"))
            self._next_step()
        elif self._phase == "starting":
            self._judge_failed_start()
        elif self._phase == "ready":
            self._remains_until = time.monotonic() + _REMAINS_LIMIT_S
            self._enter("restarting", self._next_restart_pause_s())

    def _next_restart_pause_s(self) -> float:
        """Longer and longer while it ends again and again."""
        if time.monotonic() - self._ready_since >= _STEADY_S:
            self._restart_pause_s = _RESTART_PAUSE_S
        pause_s = self._restart_pause_s
        self._restart_pause_s = min(2 * pause_s, _LONGEST_RESTART_PAUSE_S)
        return pause_s

    def _judge_failed_start(self) -> None:
        complaint = self._complaint("PostgreSQL did not start")
        if "any TCP/IP sockets" in complaint:
            raise KeeperError(f"database.port: port {self._port} is taken: stop what uses it, or choose another")
        remains = "postmaster.pid" in complaint or "shared memory block" in complaint
        if not remains or time.monotonic() > self._remains_until:
            raise KeeperError(complaint)
        self._enter("restarting", _RESTART_PAUSE_S)

    def _complaint(self, what: str) -> str:
        with contextlib.suppress(OSError), self._place.log.open("rb") as log:
            log.seek(self._log_offset)
            lines = log.read(4096).decode(errors="replace").strip().splitlines()
            telling = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines[-1:]
            return f"{what}: {' / '.join(line.strip() for line in telling[:3])} (more in {self._place.log})"
        return what

    # stopping

    def _stop(self) -> None:
        """Ask politely first: a fast shutdown writes everything down and closes the sessions."""
        making = self._phase == "making"
        if self._child is None or not self._shutdown_steps:
            self._shutdown_steps = []
            self._child = None
            self._enter("stopping")
            return
        number, patience_s = self._shutdown_steps.pop(0)
        with contextlib.suppress(ProcessLookupError):
            if making or number == signal.SIGKILL:
                os.killpg(self._child, signal.SIGKILL)
            else:
                os.kill(self._child, number)
        self._enter("stopping", patience_s)

    def _clean_up(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.killpg(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
        remove_unfinished(self._place.root)
        if not (self._users and self._address_is_known):  # else somebody will look for the next PostgreSQL there
            shutil.rmtree(self._runtime, ignore_errors=True)
            (self._place.root / RUN_FILE).unlink(missing_ok=True)
        # The lock must be free before the last server hears that we are gone and, perhaps, comes back.
        os.close(self._lock_file)

    # the servers

    def _listen(self) -> None:
        path = self._runtime / CONTROL
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(64)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        wake_reader, wake_writer = socket.socketpair()
        for end in (wake_reader, wake_writer):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        self._wake_ends = (wake_reader, wake_writer)
        self._selector.register(wake_reader, selectors.EVENT_READ, lambda: wake_reader.recv(256))
        self._publish(path)

    def _publish(self, control: Path) -> None:
        target = self._place.root / RUN_FILE
        draft = target.with_suffix(".new")
        draft.write_text(json.dumps({"control": str(control), "runtime": str(self._runtime), "pid": os.getpid()}))
        draft.chmod(0o600)
        draft.rename(target)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._join(listener.accept()[0])

    def _join(self, user: socket.socket) -> None:
        user.setblocking(False)
        if self._phase == "stopping":
            self._leaving.add(user)
        else:
            self._users.add(user)
            self._selector.register(user, selectors.EVENT_READ, lambda: self._hear(user))
        self._tell(user, **self._state())

    def _hear(self, user: socket.socket) -> None:
        """A server says nothing; the end of its stream means that it has left or died."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            if user.recv(256):
                return
        self._selector.unregister(user)
        self._users.discard(user)
        if self._users:
            user.close()
        else:
            self._leaving.add(user)  # the last one may wait for the end of PostgreSQL: our exit closes its socket

    def _state(self) -> dict[str, Any]:
        return {"state": self._phase, "host": str(self._runtime / "pg"), "port": self._port or 5432}

    def _tell_all(self, **message: Any) -> None:
        for user in self._users | self._leaving:
            self._tell(user, **message)

    def _tell(self, user: socket.socket, **message: Any) -> None:
        with contextlib.suppress(OSError):
            user.send(json.dumps(message).encode() + b"\n")


def take_lock(root: Path) -> int | None:
    lock_file = os.open(root / "keeper.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_file)
        return None
    return lock_file


def remove_unfinished(root: Path) -> None:
    for folder in root.glob(f"{FRESH_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def leave_the_parent() -> None:
    """A session of our own: neither Ctrl-C at the terminal nor the end of the server must hit us."""
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    os.chdir("/")
    for number in _SIGNALS_OF_OTHERS:
        signal.signal(number, signal.SIG_IGN)


def main(argument: str) -> None:
    config = json.loads(argument)
    place = Place(Path(config["root"]), Path(config["install"]))
    first_user = socket.socket(fileno=config["socket"])
    first_user.set_inheritable(False)
    leave_the_parent()
    try:
        lock_file = take_lock(place.root)
        if lock_file is None:
            first_user.send(b'{"state": "busy"}\n')
            return
        remove_unfinished(place.root)
        keeper = Keeper(place, config["port"], lock_file)
    except (KeeperError, OSError) as error:
        first_user.send(json.dumps({"state": "failed", "error": str(error)}).encode() + b"\n")
        return
    keeper.run(first_user)


if __name__ == "__main__":
    main(sys.argv[1])

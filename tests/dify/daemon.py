"""Stands in for Dify's plugin daemon: starts the unpacked plugin, and speaks JSON lines with it on stdin and stdout.

Everything that comes is looked at: a line that is no JSON, one that is too long for the daemon, a request that never
ends, or a secret anywhere makes a test fail.
"""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_LIMIT_S = 60.0
ANSWER_LIMIT_S = 60.0
END_LIMIT_S = 30.0
LONGEST_LINE = 5 * 1024 * 1024  # the daemon kills a plugin that writes a longer one
PROVIDER = "mem0ai"

Json = dict[str, Any]


@dataclass(slots=True)
class Reply:
    """What was streamed for one request, up to its `end`."""

    messages: list[Json] = field(default_factory=list)
    errors: list[Json] = field(default_factory=list)
    ended: bool = False

    @property
    def json(self) -> Json:
        """The one JSON message of a tool."""
        found = [one["message"]["json_object"] for one in self.messages if one.get("type") == "json"]
        assert len(found) == 1, f"{len(found)} JSON messages, errors: {self.errors}"
        assert isinstance(found[0], dict)
        return found[0]

    @property
    def text(self) -> str:
        found = [one["message"]["text"] for one in self.messages if one.get("type") == "text"]
        assert len(found) == 1, f"{len(found)} text messages, errors: {self.errors}"
        return str(found[0])

    @property
    def status(self) -> str:
        return str(self.json["status"])

    @property
    def results(self) -> Any:
        return self.json["results"]

    @property
    def variables(self) -> Json:
        found = [one["message"] for one in self.messages if one.get("type") == "variable"]
        return {one["variable_name"]: one["variable_value"] for one in found}


class PluginProcess:
    """`with PluginProcess(python, folder, data).started() as plugin:`. Requests may run beside each other."""

    def __init__(self, python: Path, folder: Path, data: Path, **environment: str) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.ready_s = 0.0
        self.heartbeats = 0
        self.manifest: Json = {}
        self.log: list[Json] = []
        self._python = python
        self._environment = {"MEM0_PLUGIN_DATA": str(data), "INSTALL_METHOD": "local", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self._stderr: list[str] = []
        self._answers: dict[str, queue.SimpleQueue[Json]] = defaultdict(queue.SimpleQueue)
        self._came = threading.Condition()
        self._complaints: list[str] = []
        self._writing = threading.Lock()
        self.secrets: set[str] = set()

    # --- its life ---

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the plugin was not started"
        return self._process

    @contextmanager
    def started(self) -> Iterator["PluginProcess"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        began = time.monotonic()
        self._process = subprocess.Popen(
            [self._python, "-m", "main"], cwd=self.folder, env=self._around(), start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._readers = [threading.Thread(target=read) for read in (self._read_stdout, self._read_stderr)]
        for reader in self._readers:
            reader.start()
        try:
            self.wait_for(lambda: self.heartbeats > 0, within_s=READY_LIMIT_S)
        except BaseException:
            self.kill()
            raise
        self.ready_s = time.monotonic() - began

    def kill(self) -> None:
        """kill -9. A closed stdin does not end a plugin, so the daemon does this too."""
        self.process.kill()
        self._gone()

    def terminate(self) -> int:
        """SIGTERM: it may end what it has accepted."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(END_LIMIT_S)
        finally:
            self.kill()
        return code

    def _gone(self) -> None:
        self.process.wait(END_LIMIT_S)
        for reader in self._readers:
            reader.join(END_LIMIT_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # it left without reading all that it was told

    def _around(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPENAI", "MEM0"))}
        return {**kept, **self._environment}

    # --- requests ---

    def invoke(
        self,
        tool: str,
        parameters: Mapping[str, Any],
        credentials: Mapping[str, Any],
        *,
        within_s: float = ANSWER_LIMIT_S,
    ) -> Reply:
        return self.collect(self.ask(tool, parameters, credentials), within_s=within_s)

    def ask(self, tool: str, parameters: Mapping[str, Any], credentials: Mapping[str, Any]) -> str:
        """Sends it off; the id of its session."""
        asked = {"tool": tool, "tool_parameters": dict(parameters), "credential_type": "api-key"}
        return self.request("invoke_tool", asked | {"credentials": dict(credentials)})

    def validate(self, credentials: Mapping[str, Any], *, within_s: float = ANSWER_LIMIT_S) -> Reply:
        session = self.request("validate_tool_credentials", {"credentials": dict(credentials)})
        return self.collect(session, within_s=within_s)

    def request(self, action: str, data: Mapping[str, Any]) -> str:
        session = uuid.uuid4().hex
        told = {
            "session_id": session, "conversation_id": "c1", "message_id": "m1", "app_id": "app-1",
            "endpoint_id": None, "context": None, "event": "request",
            "data": {"user_id": "u1", "type": "tool", "action": action, "provider": PROVIDER, **data},
        }  # fmt: skip
        self.send(json.dumps(told))
        return session

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        with self._writing:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def collect(self, session: str, *, within_s: float = ANSWER_LIMIT_S) -> Reply:
        """Until its `end`; it is a fault if that does not come."""
        reply, until = Reply(), time.monotonic() + within_s
        while not reply.ended:
            try:
                told = self._answers[session].get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no end of {session} after {within_s} s: {self.stderr[-2000:]}") from None
            match told["type"]:
                case "stream":
                    reply.messages.append(told["data"])
                case "error":
                    reply.errors.append(told["data"])
                case "end":
                    reply.ended = True
                case other:
                    raise AssertionError(f"what is {other}?")
        del self._answers[session]
        return reply

    # --- what it says ---

    @property
    def stderr(self) -> str:
        return "".join(self._stderr)

    def logged(self, *words: str) -> list[str]:
        """The messages of its log that hold all these words."""
        return [one["message"] for one in list(self.log) if all(word in one["message"] for word in words)]

    def wait_for(self, look: Any, *, within_s: float = ANSWER_LIMIT_S) -> None:
        """Until it holds, looked at again with each line that comes, and now and then."""
        until = time.monotonic() + within_s
        with self._came:
            while not look():
                if self.process.poll() is not None and not self._readers[0].is_alive():
                    raise AssertionError(f"the plugin ended with {self.process.returncode}:\n{self.stderr[-4000:]}")
                if time.monotonic() > until:
                    raise AssertionError(f"it never held; the plugin said:\n{self.stderr[-2000:]}")
                self._came.wait(0.1)

    def faults(self) -> list[str]:
        """What no plugin may do; each is told once."""
        found, self._complaints = self._complaints, []
        return found

    def holds_secret(self) -> list[str]:
        """Which of the secrets it was given stand anywhere in what it wrote."""
        said = "".join(self.lines) + self.stderr
        return [secret for secret in self.secrets if secret in said]

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            if not raw.strip():
                continue
            line = raw.decode(errors="replace")
            if len(raw) >= LONGEST_LINE:
                self._complaints.append(f"a line of {len(raw)} bytes")
            self.lines.append(line)
            with self._came:
                self._take(line)
                self._came.notify_all()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            self._stderr.append(raw.decode(errors="replace"))

    def _take(self, line: str) -> None:
        try:
            told = json.loads(line)
        except ValueError:
            self._complaints.append(f"a line that is no JSON: {line[:200]!r}")
            return
        match told.get("event"):
            case None if "plugins" in told:
                self.manifest = told
            case "heartbeat":
                self.heartbeats += 1
            case "log":
                self.log.append(told["data"])
            case "session":
                self._answers[told["session_id"]].put(told["data"])
            case "error":
                self.log.append({"message": f"error: {told['data']}"})
            case other:
                self._complaints.append(f"an event {other!r}")

    # --- what it holds, seen from outside ---

    def threads(self) -> int:
        return int(self._status("Threads"))

    def memory_kib(self) -> int:
        return int(self._status("VmRSS").split()[0])

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def _status(self, name: str) -> str:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE)
        assert found is not None
        return found[1]


def secrets_in(credentials: Mapping[str, Any], names: Sequence[str] = ("key", "password", "secret")) -> set[str]:
    """The values that must stand nowhere."""
    found: set[str] = set()
    for name, value in credentials.items():
        if name.endswith("_json_secret") and isinstance(value, str):
            try:
                found |= secrets_in(json.loads(value).get("config", {}), names)
            except (ValueError, AttributeError):
                continue
        elif isinstance(value, str) and any(word in name for word in names):
            found.add(value)
    return found

"""What a plugin lives among: a database, models, Mem0's platform and Dify's API, each a process of its own.

They are not in the test's process, so that connections that a plugin keeps open are nobody's leak.
"""

import json
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from tests.dify.environment import PROJECT

MODEL_KEY = "sk-stand-in-5up3rs3cr3t"
APP_KEY = "app-stand-in-5up3rs3cr3t"
PASSWORD = "pa55word-of-the-database"
DIMENSIONS = 384
_START_LIMIT_S = 60.0
_CALL_LIMIT_S = 30.0

Credentials = dict[str, Any]


@dataclass(frozen=True, slots=True)
class World:
    """`cloud` and `dify` are addresses without a path."""

    cloud: str
    dify: str
    dsn: str
    folder: Path

    # --- credentials as somebody fills them in ---

    def models(self) -> Credentials:
        model = {"api_key": MODEL_KEY, "openai_base_url": f"{self.cloud}/v1", "model": "stand-in"}
        embedder = {**model, "embedding_dims": DIMENSIONS}
        return {
            "local_llm_json_secret": json.dumps({"provider": "openai", "config": model}),
            "local_embedder_json_secret": json.dumps({"provider": "openai", "config": embedder}),
        }

    def on_postgres(
        self, *, asynchronous: bool = False, store: Mapping[str, Any] | None = None, **more: Any
    ) -> Credentials:
        address = {"connection_string": make_conninfo(self.dsn, password=PASSWORD)}
        config = {"collection_name": "memories", "embedding_model_dims": DIMENSIONS, **address, **(store or {})}
        return self._self_hosted("pgvector", config, asynchronous, more)

    def on_qdrant(self, folder: Path, *, asynchronous: bool = False, **more: Any) -> Credentials:
        config = {
            "collection_name": "memories",
            "embedding_model_dims": DIMENSIONS,
            "path": str(folder),
            "on_disk": True,
        }
        return self._self_hosted("qdrant", config, asynchronous, more)

    def on_platform(self, *, asynchronous: bool = False, **more: Any) -> Credentials:
        return {"mem0_api_key": MODEL_KEY, "mem0_host": self.cloud, "async_mode": asynchronous, **more}

    def _self_hosted(
        self, store: str, config: Mapping[str, Any], asynchronous: bool, more: Mapping[str, Any]
    ) -> Credentials:
        vector = json.dumps({"provider": store, "config": dict(config)})
        return {**self.models(), "local_vector_db_json_secret": vector, "async_mode": asynchronous, **more}

    # --- the stand-ins ---

    def fails(self, **faults: Mapping[str, Any]) -> None:
        """Such as `chat={"mode": "stall"}`."""
        _post(f"{self.cloud}/_control", faults)

    def mend(self) -> None:
        _post(f"{self.cloud}/_control", {"clear": True})
        _post(f"{self.dify}/_control", {})

    def stats(self) -> dict[str, dict[str, int]]:
        found = _get(f"{self.cloud}/_stats")
        return {name: found[name] for name in ("counts", "running", "left")}

    def model_calls(self) -> int:
        counts = self.stats()["counts"]
        return counts.get("chat", 0) + counts.get("embeddings", 0)

    def dify_fails(self, kind: str, **how: Any) -> None:
        _post(f"{self.dify}/_control", {"kind": kind, **how})

    def dify_stats(self) -> dict[str, Any]:
        return dict(_get(f"{self.dify}/_stats"))

    def talks(
        self, user: str, *texts: str, days_ago: int = 1, hour: int = 10, key: str = APP_KEY, conversation: str = ""
    ) -> str:
        """A conversation of one of the last days, in the time of this machine; its id."""
        day = datetime.combine(datetime.now() - timedelta(days=days_ago), time_of_day(hour)).astimezone()
        conversation = conversation or str(uuid.uuid4())
        told = {"user": user, "answer": "I see.", "key": key, "conversation_id": conversation}
        times = [(day + timedelta(seconds=10 * number)).timestamp() for number in range(len(texts))]
        _post(f"{self.dify}/_data", [{**told, "query": text, "at": at} for text, at in zip(texts, times, strict=True)])
        return conversation

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(query.encode(), values).fetchall()

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody else gets at the table."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            yield
            connection.rollback()

    def waiting_statements(self) -> int:
        """Those that somebody else's lock holds up."""
        [(count,)] = self.rows(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(count)

    def backends(self, name: str = "%") -> set[int]:
        """The sessions that others, or those that call themselves so, have on the database."""
        found = self.rows(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE %s",
            name,
        )
        return {int(pid) for (pid,) in found}


@contextmanager
def world_on(dsn: str, folder: Path) -> Iterator[World]:
    services = [word for name in ("chat", "embeddings", "models", "memory") for word in ("--only", name)]
    with ExitStack() as processes:
        cloud = processes.enter_context(
            _process("firmware_sim", "cloud", "--port", "0", "--api-key", MODEL_KEY, *services)
        )
        dify = processes.enter_context(_process("tests.support.dify_api", "--port", "0", "--key", APP_KEY))
        yield World(cloud, dify, dsn, folder)


@contextmanager
def _process(*module: str) -> Iterator[str]:
    """Its address, which it prints first."""
    process = subprocess.Popen([sys.executable, "-m", *module], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"(http://\S+?)(/v1)?\s*$", line)
        assert found is not None, f"{module[0]} did not start: {line!r}"
        yield found[1]
    finally:
        process.terminate()
        process.wait(_START_LIMIT_S)
        process.stdout.close()


def _post(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_CALL_LIMIT_S) as response:
        return json.load(response)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=_CALL_LIMIT_S) as response:
        return json.load(response)


def eventually(look: Any, *, within_s: float = 20.0) -> Any:
    """What `look` gives, once it gives something."""
    until = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < until, f"it never held: {look}"
        time.sleep(0.02)
    return found

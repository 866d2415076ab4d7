"""A process in which nobody has loaded mem0 yet: it makes facts of one talk, and tells where mem0 turned to."""

import asyncio
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from tests.integration.memory.mem0_world import said, saved, self_hosted


def note_hosts() -> set[str]:
    """Every host that is looked up or connected to from now on."""
    hosts: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo":
            hosts.add(str(arguments[0]))
        elif event == "socket.connect" and arguments[0].family != socket.AF_UNIX:
            hosts.add(str(arguments[1][0]))

    sys.addaudithook(note)
    return hosts


async def main(dsn: str, folder: Path, config: dict[str, Any]) -> None:
    hosts = note_hosts()
    was_loaded = "mem0" in sys.modules
    pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(dsn, min_size=2, max_size=2, open=False)
    async with pool, self_hosted(config, pool, folder) as engine:
        await engine.enqueue([said("I like green tea.")], user_id="ann", agent_id="bot", session_id="s1")
        await saved(engine, 60.0)
        texts = [memory.text for memory in await engine.get_all(user_id="ann")]
    from mem0.memory import setup, telemetry

    report = {
        "was_loaded": was_loaded,
        "texts": texts,
        "hosts": sorted(hosts),
        "mem0_dir": setup.mem0_dir,
        "telemetry": [telemetry.MEM0_TELEMETRY, os.environ["MEM0_TELEMETRY"]],
        # Made while it is imported, if it is to report at all.
        "reporter": telemetry.client_telemetry.posthog is not None,
        "threads": [type(thread).__module__ for thread in threading.enumerate()],
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])))

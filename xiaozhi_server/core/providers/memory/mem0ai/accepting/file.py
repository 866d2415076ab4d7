"""The journal in a file of its own, for memories that lie in no PostgreSQL. SQLite blocks, so it has a thread."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from ..scope import Scope, checked_id
from .accepted import Accepted, DeadWrite, JournalBusyError, Operation, Within
from .checking import checked
from .file_table import JournalFile
from .gathering import Gathering

T = TypeVar("T")

_DEAD_MAX = 10_000


class FileJournal:
    """A Journal. Writes are settled after they were done: whoever does them must not mind doing one twice.

    Several programs may accept into one file; one of them works it off, and where it ends, however it ends, another one
    does. The file is opened with the first call, on a local disk.
    """

    def __init__(self, path: Path, *, limit: int = 10_000) -> None:
        self._file = JournalFile(path, limit=limit)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="memory-journal")
        self._gathering: Gathering[Accepted, Accepted] = Gathering(self._put)
        self._closed = False

    async def accept(self, operation: Operation, user_id: str, arguments: Mapping[str, Any]) -> Accepted:
        write = checked(operation, user_id, arguments)
        self._check_open()
        return await self._gathering.put(write)

    async def waiting(self) -> int:
        return await self._run(self._file.waiting)

    async def claim(self, *, limit: int, lease_s: float) -> list[Accepted]:
        return await self._run(lambda: self._file.claim(limit=limit, lease_s=lease_s))

    async def renew(self, writes: Sequence[Accepted], *, lease_s: float) -> None:
        await self._run(lambda: self._file.renew(writes, lease_s=lease_s))

    def within(self, accepted: Accepted) -> Within | None:
        return None

    async def settle(self, accepted: Accepted) -> None:
        await self._run(lambda: self._file.settle(accepted))

    async def postpone(self, accepted: Accepted, *, pause_s: float, error: str) -> None:
        await self._run(lambda: self._file.postpone(accepted, pause_s=pause_s, error=error))

    async def release(self, accepted: Accepted) -> None:
        await self._run(lambda: self._file.release(accepted))

    async def give_up(self, accepted: Accepted, *, error: str) -> None:
        await self._run(lambda: self._file.give_up(accepted, error=error))

    async def dead(self, user_id: str | None = None, *, limit: int = 100) -> list[DeadWrite]:
        if user_id is not None:
            checked_id("user_id", user_id)
        return await self._run(lambda: self._file.dead(user_id, limit=max(0, min(limit, _DEAD_MAX))))

    async def replay(self, user_id: str | None = None, *, id: UUID | None = None) -> int:
        if user_id is not None:
            checked_id("user_id", user_id)
        return await self._run(lambda: self._file.replay(user_id, id=id))

    async def forget(
        self, user_id: str, *, agent_id: str | None = None, run_id: str | None = None, before: UUID | None = None
    ) -> int:
        scope = Scope(user_id, agent_id, run_id)
        return await self._run(
            lambda: self._file.forget(scope.user_id, agent_id=scope.agent_id, run_id=scope.run_id, before=before)
        )

    async def overtake(self, accepted: Accepted) -> int:
        return await self._run(lambda: self._file.overtake(accepted))

    async def forget_person(self, user_id: str) -> int:
        person = checked_id("user_id", user_id)
        return await self._run(lambda: self._file.forget_person(person))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._gathering.quiet()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    async def _put(self, writes: Sequence[Accepted]) -> Sequence[Accepted | Exception]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._file.put, writes)

    async def _run(self, work: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _check_open(self) -> None:
        if self._closed:
            raise JournalBusyError("the journal is closed")

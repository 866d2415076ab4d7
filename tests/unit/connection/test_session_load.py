"""What a session knows while the store is away, and that it learns the rest as soon as that is back."""

import asyncio

from tests.support.connection_fakes import FakeLog
from tests.support.virtual_time import run_virtual
from xiaozhi_server.core.ports import AgentProfile, Binding, DeviceContact
from xiaozhi_server.core.providers.memory.base import MemoryProvider
from xiaozhi_server.core.providers.memory.nomem.nomem import NoMemory
from xiaozhi_server.core.session import LOAD_DEADLINE_S, LOAD_PAUSE_S, Session, SessionServices

AGENT = AgentProfile("default", "Ada", "You are Ada.", "en")
CONTACT = DeviceContact("02:00:00:00:00:01", "client-1", None)
BINDING = Binding(CONTACT.device_id, "account:7", AGENT)


class Directory:
    """Answers when it is `there`, and hangs or fails when not."""

    def __init__(self, there: bool, hangs: bool = False) -> None:
        self.there = there
        self.hangs = hangs

    async def resolve(self, contact: DeviceContact) -> Binding:
        if self.there:
            return BINDING
        if self.hangs:
            await asyncio.Event().wait()
        raise OSError


class StuckLog(FakeLog):
    async def open_session(self, *_: object) -> None:
        await asyncio.Event().wait()


async def memory_for(_: Binding) -> MemoryProvider:
    return NoMemory()


def make_session(directory: Directory, log: FakeLog | None = None) -> Session:
    return Session("s-1", CONTACT, SessionServices(directory, log or FakeLog(), memory_for, AGENT))


def test_a_device_that_cannot_be_looked_up_may_talk_and_is_asked_for_again() -> None:
    async def scenario() -> None:
        directory = Directory(there=False)
        session = make_session(directory)
        stranger = (await session.context()).binding.agent
        assert (stranger.memory_enabled, stranger.history) == (False, "off")
        directory.there = True
        await asyncio.sleep(LOAD_PAUSE_S)
        context = await session.context()
        assert context.binding == BINDING
        assert context.memory is not None

    run_virtual(scenario())


def test_a_directory_that_hangs_is_not_waited_for_with_every_turn() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        session = make_session(Directory(there=False, hangs=True))
        await session.context()
        assert loop.time() <= LOAD_DEADLINE_S
        waited_s = loop.time()
        await session.context()
        assert loop.time() == waited_s

    run_virtual(scenario())


def test_a_session_that_cannot_be_opened_in_the_store_has_its_memory_all_the_same() -> None:
    """Else what is said next would be written down, but never remembered."""

    async def scenario() -> None:
        context = await make_session(Directory(there=True), StuckLog()).context()
        assert context.binding == BINDING
        assert context.memory is not None

    run_virtual(scenario())

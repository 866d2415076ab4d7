"""From one hello to its close: whose session it is, what was said in it, and the memory that it hears and feeds.

All of it is loaded beside the hello and never delays it. Knows no socket and no message.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from loguru import logger

from .dialogue import Dialogue
from .phrases import phrase_set
from .ports import AgentDirectory, AgentProfile, Binding, ConversationLog, DeviceContact
from .providers.memory.base import MemoryProvider
from .texts import Phrase, phrase
from .turn.inputs import TurnContext

LOAD_DEADLINE_S = 1.5
LOAD_PAUSE_S = 3.0
CLOSE_DEADLINE_S = 1.0


@dataclass(frozen=True, slots=True)
class SessionServices:
    """`fallback_agent` talks to devices that cannot be looked up at the moment; it remembers and records nothing.

    A spoken wake word is answered where there is `greet`.
    """

    directory: AgentDirectory
    log: ConversationLog
    memory_for: Callable[[Binding], Awaitable[MemoryProvider | None]]
    fallback_agent: AgentProfile
    make_dialogue: Callable[[], Dialogue] = Dialogue
    exit_commands: tuple[str, ...] = ()
    wake_words: tuple[str, ...] = ()
    greet: bool = False


class Session:
    def __init__(self, session_id: str, contact: DeviceContact, services: SessionServices) -> None:
        self._services = services
        self._contact = contact
        self._lock = asyncio.Lock()
        self._loaded = False
        self._opened = False
        self._next_load_at = 0.0
        stranger = replace(services.fallback_agent, memory_enabled=False, history="off")
        self._context = TurnContext(
            session_id=session_id,
            binding=Binding(contact.device_id, f"device:{contact.device_id}", stranger),
            language=stranger.language,
            dialogue=services.make_dialogue(),
            is_farewell=phrase_set(services.exit_commands).__contains__,
            is_wake_word=phrase_set(services.wake_words).__contains__,
            greeting=self._greeting(stranger.language),
        )

    @property
    def id(self) -> str:
        return self._context.session_id

    @property
    def language(self) -> str:
        return self._context.language

    async def context(self) -> TurnContext:
        """What a turn needs to know. Where it cannot be loaded in time the talk goes on without it, for now."""
        async with self._lock:
            if not self._loaded and asyncio.get_running_loop().time() >= self._next_load_at:
                await self._try_to_load()
        return self._context

    async def close(self, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                if self._context.memory is not None:
                    await self._context.memory.close()
                if self._opened:
                    await self._services.log.close_session(self._context.session_id, datetime.now(UTC), reason)
        except Exception as error:  # noqa: BLE001 - the end of a connection: nothing may keep it alive
            logger.warning("the session was not closed in the store: {}", type(error).__name__)

    async def _try_to_load(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOAD_DEADLINE_S):
                await self._load()
        except Exception as error:  # noqa: BLE001 - a provider call: without a store the device must still be answered
            self._next_load_at = loop.time() + LOAD_PAUSE_S
            logger.warning("agent or memory cannot be loaded, going on without: {}", type(error).__name__)
        else:
            self._loaded = True

    async def _load(self) -> None:
        binding = await self._services.directory.resolve(self._contact)
        # The memory before the session's row: without it a turn would be written down, but not remembered.
        memory = await self._services.memory_for(binding) if binding.agent.memory_enabled else None
        self._context = replace(
            self._context,
            binding=binding,
            language=binding.language,
            memory=memory,
            greeting=self._greeting(binding.language),
        )
        if not self._opened:
            await self._services.log.open_session(self._context.session_id, binding, datetime.now(UTC))
            self._opened = True

    def _greeting(self, language: str) -> str:
        return phrase(Phrase.GREETING, language) if self._services.greet else ""

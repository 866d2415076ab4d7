"""The only place that builds the parts and joins them: start, serve until told to stop, drain, close. It holds no rule
of the conversation, of the store or of the wire.
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger
from prometheus_client import CollectorRegistry

from .access import Access, open_access
from .banner import Banner
from .core.connection import ConnectionServices
from .core.dialogue import Dialogue
from .core.hearing.hearing import Hearing
from .core.hearing.listener import Listener
from .core.ports import DeviceContact
from .core.session import SessionServices
from .core.turn.background import Background
from .core.turn.inputs import TurnServices
from .core.turn.playback import Pacer
from .core.turn.tokens import TokenCounter
from .core.turn.turn import Turn
from .core.turn.warm import warm_phrases
from .core.websocket_server import WebSocketServer
from .http.firmware import FirmwareShelf
from .http.health import HealthHandler
from .http.ota import OtaHandler
from .http.server import HttpServer
from .memory import MemoryNeeds, MemoryRoom, MemorySetupError, open_memory
from .memory_plan import plan_memory, recall_deadline_s
from .metrics import ConnectionMetrics, HearingCollector, MemoryMetrics, event_counter, show_value
from .open_files import allow_many_open_files
from .options import (
    connection_options,
    database_options,
    default_agent,
    hearing_options,
    ota_options,
    server_options,
    turn_options,
)
from .provider_room import ProviderRoom
from .settings import ChosenProviders, Settings, SettingsError, choose_providers, embedded_provider, named_provider
from .store.conversations import ConversationStore
from .store.database import Database, DatabaseError
from .store.devices import DeviceDirectory
from .store.embedded import EmbeddedPostgres, EmbeddedPostgresError
from .store.memory_rules import memory_rules

# Contacts that wait to be written down; more than that are dropped, the device will come again.
MAX_PENDING_CONTACTS = 200
WARM_LANGUAGES = ("en", "zh")
BACKGROUND_DRAIN_S = 5.0
# The codec's threads want the interpreter's lock back after every frame. At Python's own 5 ms they wait longer for it
# than they work, and so does everybody who waits for sound.
SWITCH_INTERVAL_S = 0.0005


class StartError(Exception):
    """The server cannot start. The text is one line: what is wrong and how to mend it."""


def run(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM. The answer is the exit code."""
    allow_many_open_files()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        chosen = choose_providers(settings)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, chosen))
    except SettingsError:
        raise
    except (StartError, MemorySetupError, DatabaseError, EmbeddedPostgresError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, chosen: ChosenProviders) -> None:
    stop = _stop_signal()
    async with AsyncExitStack() as stack:
        application = Application(settings, chosen, stack)
        start = asyncio.create_task(application.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({start, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            websocket_port, http_port = start.result()
            # What was loaded stays: the collector need not look through it again in the middle of somebody's turn.
            gc.collect()
            gc.freeze()
            banner = Banner(settings, application.providers.chosen)
            sys.stdout.write(banner.text(websocket_port, http_port))
            sys.stdout.flush()
            await stopping
        else:
            await _cancelled(start)
        logger.info("stopping: current turns may end within {:g} s", settings.limits.drain_timeout_s)
    logger.info("stopped")


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no handlers on its loop
            loop.add_signal_handler(number, stop.set)
    return stop


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Application:
    """Each part is put on `stack` as soon as it runs, so that whatever fails, all before it is closed in reverse."""

    def __init__(self, settings: Settings, chosen: ChosenProviders, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._chosen = chosen
        self._stack = stack
        self._data_dir = Path(settings.data_dir)
        self._background = Background()
        self._registry = CollectorRegistry()
        self._metrics = ConnectionMetrics(self._registry)
        self.providers = ProviderRoom(settings, chosen)

    async def start(self) -> tuple[int, int]:
        """Build and start everything; the answer is the ports of the websocket and of HTTP."""
        for notice in (*self._settings.notices, *self._chosen.notices):
            logger.info(notice)
        _ensure_writable(self._data_dir)
        self._on_exit(self.providers.close)
        self.providers.start()
        executor = self._executor()
        database = await self._database()
        access = await open_access(self._settings, database)
        directory = DeviceDirectory(database, default_agent(self._settings, self._chosen))
        await directory.start()
        memory = await self._memory(database, executor)  # it looks at what the agents want
        log = self._conversation_store(database, memory, executor)
        await log.start()
        self._on_exit(log.close)
        self._on_exit(self._background.drain, BACKGROUND_DRAIN_S)
        await self.providers.settle()
        self._services = self._turn_services(log, executor)
        server = self._websocket_server(directory, log, memory, executor, access)
        websocket_port = await _listen(server.start, self._settings.server.port, "server.port", "--port")
        self._on_exit(server.drain, self._settings.limits.drain_timeout_s)
        http = self._http_server(directory, database, websocket_port, access)
        http_port = await _listen(http.start, self._settings.server.http_port, "server.http_port", "--http-port")
        self._on_exit(http.stop)
        self._show_values(log, server)
        return websocket_port, http_port

    def _show_values(self, log: ConversationStore, server: WebSocketServer) -> None:
        spooled = "Exchanges on disk that wait for the database"
        show_value(self._registry, "xiaozhi_spooled_exchanges", spooled, lambda: log.waiting)
        background = "Work that outlives its turn"
        show_value(self._registry, "xiaozhi_background_tasks", background, lambda: len(self._background))
        pending = "Connections that have not asked for anything yet"
        show_value(self._registry, "xiaozhi_pending_connections", pending, lambda: server.pending)

    def _on_exit(self, close: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        async def close_part() -> None:
            await close(*arguments)

        self._stack.push_async_callback(close_part)

    def _executor(self) -> ThreadPoolExecutor:
        """One for all codec and model work, which releases the GIL: as many threads as there are cores."""
        executor = ThreadPoolExecutor(max_workers=os.cpu_count() or 2, thread_name_prefix="work")
        self._stack.callback(partial(executor.shutdown, wait=True, cancel_futures=True))
        return executor

    async def _database(self) -> Database:
        options = self._settings.database
        dsn = options.url.get_secret_value()
        if not dsn:
            embedded = EmbeddedPostgres(
                self._data_dir, port=options.port or None, start_timeout_s=options.start_timeout_s
            )
            dsn = await embedded.start()
            self._on_exit(embedded.stop)
        database = await Database.open(
            dsn,
            start_timeout_s=options.start_timeout_s,
            on_progress=logger.info,
            options=database_options(self._settings),
        )
        self._on_exit(database.close)
        return database

    async def _memory(self, database: Database, executor: Executor) -> MemoryRoom:
        chosen = self._chosen["Memory"]
        needs = MemoryNeeds(
            pool=database.pool,
            executor=executor,
            observer=MemoryMetrics(self._registry),
            data_dir=self._data_dir,
            recall_limit=self._settings.memory.recall_limit,
            deadline_s=recall_deadline_s(self._settings, chosen),
            timezone=default_agent(self._settings, self._chosen).timezone,
            model_for=self._model_for,
            rules=partial(memory_rules, database),
        )
        room = await open_memory(plan_memory(chosen), needs)
        self._on_exit(room.close)
        return room

    def _conversation_store(self, database: Database, memory: MemoryRoom, executor: Executor) -> ConversationStore:
        lost = "Exchanges that neither the database took in time nor the disk"
        return ConversationStore(
            database,
            self._data_dir / "spool",
            memory.provider_for,
            executor=executor,
            on_lost=event_counter(self._registry, "xiaozhi_exchanges_lost", lost),
        )

    def _model_for(self, name: str) -> Any:
        """A model for work beside the talk; the embedded companion only knows how to talk."""
        chosen = named_provider(self._settings, "LLM", name) if name else self._chosen["LLM"]
        if chosen.type_name == embedded_provider(self._settings, "LLM").type_name or chosen.provider_class is None:
            return None
        model = chosen.provider_class(chosen.config)
        self._on_exit(model.close)
        return model

    def _provider(self, kind: str) -> Any:
        chosen = self._chosen[kind]
        assert chosen.provider_class is not None
        provider = chosen.provider_class(chosen.config)
        self._on_exit(provider.close)
        return provider

    def _turn_services(self, log: ConversationStore, executor: Executor) -> TurnServices:
        services = TurnServices(
            asr=self.providers["ASR"],
            llm=self.providers["LLM"],
            tts=self.providers["TTS"],
            log=log,
            executor=executor,
            pacer=Pacer(),
            options=turn_options(self._settings, self._chosen),
            background=self._background,
            spare_tts=self._spare_voice(),
        )
        self.providers.on_change = self._take_over
        self._warm_phrases(services)
        return services

    def _spare_voice(self) -> Any:
        """The embedded voice, for what the chosen one cannot speak."""
        embedded = embedded_provider(self._settings, "TTS")
        if embedded.type_name == self._chosen["TTS"].type_name or not self._settings.turn.spare_voice:
            return None
        assert embedded.provider_class is not None
        voice = embedded.provider_class(embedded.config)
        self._on_exit(voice.close)
        return voice

    def _warm_phrases(self, services: TurnServices) -> None:
        warming = _forget_result(warm_phrases(services, WARM_LANGUAGES))
        # Cancelled at the end, before the background is waited for: what it still has to speak is not worth a wait.
        self._stack.callback(self._background.keep(warming, "speaking the fixed phrases").cancel)

    def _take_over(self, kind: str) -> None:
        """Another provider serves this kind: the turns that begin from now on are its own."""
        self._services = replace(self._services, **{kind.lower(): self.providers[kind]})
        if kind == "TTS":
            self._warm_phrases(self._services)

    def _websocket_server(
        self,
        directory: DeviceDirectory,
        log: ConversationStore,
        memory: MemoryRoom,
        executor: Executor,
        access: Access,
    ) -> WebSocketServer:
        vad = self._provider("VAD")
        hearing = Hearing(vad, executor, hearing_options(self._settings, vad.config))
        self._on_exit(hearing.close)
        self._registry.register(HearingCollector(hearing.counters))
        session = SessionServices(
            directory=directory,
            log=log,
            memory_for=memory.provider_for,
            fallback_agent=default_agent(self._settings, self._chosen),
            make_dialogue=self._dialogue_factory(),
            exit_commands=self._settings.exit_commands,
            wake_words=self._settings.wakeup_words,
            greet=self._settings.enable_greeting,
        )
        connections = ConnectionServices(
            session=session,
            make_listener=partial(Listener, hearing),
            make_turn=lambda turn_id, request, context, output: Turn(turn_id, request, context, self._services, output),
            observer=self._metrics,
            options=connection_options(self._settings),
        )
        options = replace(server_options(self._settings), tls=access.tls)
        return WebSocketServer(options, connections, access.gate, access.proxies)

    def _dialogue_factory(self) -> Callable[[], Dialogue]:
        count = TokenCounter()
        self._background.keep(_forget_result(count.load()), "loading the tokenizer")
        return partial(Dialogue, self._settings.dialogue.budget_tokens, count)

    def _http_server(
        self, directory: DeviceDirectory, database: Database, websocket_port: int, access: Access
    ) -> HttpServer:
        server = self._settings.server
        firmware = FirmwareShelf(self._data_dir / "bin")
        note_contact = partial(self._note_contact, directory)
        ota = OtaHandler(
            ota_options(self._settings, websocket_port), firmware, note_contact, access.gate, access.proxies
        )
        health = HealthHandler(partial(_readiness, database), self._registry)
        return HttpServer(
            server.ip,
            server.http_port,
            [*ota.routes(), *firmware.routes(), *health.routes()],
            access.tls,
            max_connections=self._settings.limits.max_http_connections,
            on_bound=self._metrics.bound_reached,
        )

    def _note_contact(self, directory: DeviceDirectory, contact: DeviceContact) -> None:
        if len(self._background) < MAX_PENDING_CONTACTS:
            self._background.keep(_forget_result(directory.resolve(contact)), "noting a device")
        else:
            self._metrics.bound_reached("max_pending_contacts")


async def _forget_result(work: Awaitable[Any]) -> None:
    await work


async def _readiness(database: Database) -> dict[str, str]:
    try:
        await database.ping()
    except Exception as error:  # noqa: BLE001 - an HTTP request: whatever is wrong with the database is the answer
        return {"database": type(error).__name__}
    return {}


async def _listen(start: Callable[[], Awaitable[int]], port: int, key: str, option: str) -> int:
    try:
        return await start()
    except OSError as problem:
        raise StartError(
            f"{key}: port {port} cannot be used ({os.strerror(problem.errno or 0)}): stop what uses it, "
            f"or choose another with {option}"
        ) from problem


def _ensure_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise StartError(
            f"data_dir: {folder.absolute()} cannot be written ({problem.strerror}): "
            "mend its permissions, or choose another with --data-dir"
        ) from problem

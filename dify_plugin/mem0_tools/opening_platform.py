"""Memory on Mem0's platform: a key and nothing else. What was accepted and is not sent yet waits in a file of ours."""

from xiaozhi_memory.mem0ai.accepting.file import FileJournal
from xiaozhi_memory.mem0ai.forgetting.forget_memories import Fading, OnPlatform
from xiaozhi_memory.mem0ai.forgetting.use_file import UseFile
from xiaozhi_memory.mem0ai.platform.memory import PlatformMemory
from xiaozhi_memory.mem0ai.platform.options import PlatformOptions

from . import constants
from .credentials import Platform, Settings
from .forgetting import forgets
from .memory import Home
from .places import folder_for
from .writing import Writing


async def open_platform(settings: Settings, home: Platform) -> Home:
    """The platform is not asked before the first call: whether it answers is told then."""
    folder = folder_for(settings)
    memory = PlatformMemory(_options(home), folder)
    journal = FileJournal(folder / "accepted.db", limit=settings.most_pending)
    writing = Writing(journal, memory, parallel=settings.max_operations)
    writing.start()
    uses = UseFile(folder / "uses.db")
    fading = Fading(OnPlatform(memory), uses)
    fading.start()
    memory.recalls = fading

    async def close(deadline_s: float) -> None:
        try:
            await writing.stop(deadline_s)
            await fading.stop(deadline_s)
            await uses.close()
            await journal.close()
        finally:
            await memory.close(deadline_s)

    return Home(
        memory=memory,
        close=close,
        writes=writing,
        forgets=forgets(fading, None, settings),
        beats={"Mem0's platform": memory.ping},
        lacks=memory.lacks,
    )


def _options(home: Platform) -> PlatformOptions:
    """Whoever calls says how long a request may take; here it only ends some time."""
    longest_s = constants.MAX_REQUEST_TIMEOUT
    return PlatformOptions(
        api_key=home.api_key, host=home.host, search_timeout_s=longest_s, request_timeout_s=longest_s
    )

"""What is forgotten of a user, as the credentials want it."""

from xiaozhi_memory.mem0ai.forgetting.forget_memories import Cleans, ForgetMemories, ForgetOptions, Prunes

from .credentials import Settings


def forgets(memories: Prunes, notes: Cleans | None, settings: Settings) -> ForgetMemories:
    """Without `notes` there is no extraction either."""
    options = ForgetOptions(settings.memory_ttl_days, settings.checkpoint_ttl_days)
    return ForgetMemories(memories, notes, options)

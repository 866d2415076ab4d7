"""What agents want done with their memories, where the memories are kept by somebody who does not do it."""

from xiaozhi_server.core.providers.memory.base import MemoryRules
from xiaozhi_server.memory import unheeded


def test_what_cannot_be_done_is_named_once() -> None:
    rules = {
        "one": MemoryRules(forget=True, share_from=("two",)),
        "two": MemoryRules(forget=True, compress_after_days=30, categories=("work",)),
    }
    assert unheeded(rules, shares=False) == ["forget", "compress_after_days", "share_from"]
    assert unheeded(rules, shares=True) == ["forget", "compress_after_days"]
    assert unheeded({"one": MemoryRules(categories=("work",))}, shares=False) == []

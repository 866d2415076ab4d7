"""No recogniser: who speaks is told so."""

import pytest

from xiaozhi_server.core.providers.asr.base import AsrNotConfiguredError
from xiaozhi_server.core.providers.asr.none import NoAsr


async def test_it_hears_nothing_and_says_so() -> None:
    asr = NoAsr(NoAsr.Config())
    with pytest.raises(AsrNotConfiguredError):
        await asr.transcribe(bytes(3200), sample_rate=16_000, language="en")
    assert "typed turns" in await asr.probe()
    await asr.close()

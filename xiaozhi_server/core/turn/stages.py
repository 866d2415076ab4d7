"""The three questions a turn asks of others: what was said, what is known, what to answer. Each with its deadline.

Whatever a provider does comes back as a `TurnError`; only a cancelled turn passes through.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from loguru import logger

from ..errors import ProviderFailedError, StageTimeoutError, TurnError
from ..providers.asr.base import Asr, AsrNotConfiguredError
from ..providers.llm.base import ChatMessage, Llm, TextDelta
from ..providers.memory.base import Memory, MemoryProvider
from .inputs import SpokenRequest, TurnOptions
from .streams import closing
from .utterance import Utterance, spoken

# A recall keeps its own deadline; this much later it is ended from outside.
RECALL_GRACE_S: Final = 0.02


async def transcribe(asr: Asr, request: SpokenRequest, language: str, timeout_s: float) -> Utterance:
    """What was said; empty if it was nothing with a word in it."""
    try:
        async with asyncio.timeout(timeout_s):
            transcript = await asr.transcribe(request.pcm, sample_rate=request.sample_rate, language=language)
        return spoken(transcript.text, transcript.speaker)
    except AsrNotConfiguredError:
        raise TurnError("asr", "not_configured", "no recogniser is set up") from None
    except TimeoutError:
        raise StageTimeoutError("asr", timeout_s) from None
    except Exception as error:  # noqa: BLE001 - a provider call; its own words may quote the request
        raise ProviderFailedError("asr", error) from None


async def recall(
    memory: MemoryProvider, asked: Utterance, options: TurnOptions
) -> tuple[list[Memory], TurnError | None]:
    """What is known about it. A memory that is late or down never stops the talk."""
    deadline_s = options.recall_deadline_s
    try:
        async with asyncio.timeout(deadline_s + RECALL_GRACE_S):
            memories = await memory.recall(asked.text, options.recall_limit, deadline_s, speaker=asked.speaker)
            return memories, None
    except TimeoutError:
        return [], StageTimeoutError("recall", deadline_s)
    except Exception as error:  # noqa: BLE001 - a provider call
        logger.warning("recall failed: {}", type(error).__name__)
        return [], ProviderFailedError("recall", error)


async def think(
    llm: Llm, messages: Sequence[ChatMessage], options: TurnOptions, on_text: Callable[[str], bool]
) -> None:
    """Hand on the answer piece by piece until it ends or `on_text` says that it is enough."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + options.llm_total_timeout_s
    waited_s = options.llm_first_token_timeout_s
    try:
        async with asyncio.timeout(waited_s) as limit, closing(llm.stream(messages)) as events:
            async for event in events:
                waited_s = options.llm_stall_timeout_s
                limit.reschedule(min(loop.time() + waited_s, ends_at))
                if isinstance(event, TextDelta) and not on_text(event.text):
                    return
    except TimeoutError:
        raise StageTimeoutError("llm", waited_s) from None
    except Exception as error:  # noqa: BLE001 - a provider call
        raise ProviderFailedError("llm", error) from None

"""Asks the voice for one text and turns what it says into packets, within time limits. Knows no order and no device."""

import asyncio
from concurrent.futures import Executor

from ..errors import NonsenseError, ProviderFailedError, StageTimeoutError, TurnError
from ..providers.tts.base import Tts
from .encoding import Deliver, FramePress
from .streams import closing


class Voice:
    def __init__(
        self,
        tts: Tts,
        executor: Executor,
        *,
        sample_rate: int,
        frame_ms: int,
        stall_timeout_s: float,
        max_sentence_audio_s: float,
    ) -> None:
        self._tts = tts
        self._executor = executor
        self._sample_rate = sample_rate
        self._frame_ms = frame_ms
        self._stall_timeout_s = stall_timeout_s
        self._max_packets = int(max_sentence_audio_s * 1000 / frame_ms)

    async def speak(self, text: str, language: str, first_audio_timeout_s: float, deliver: Deliver) -> TurnError | None:
        """Deliver the packets as they come; the error is what ended them early. No sound at all is an error."""
        made = 0

        def count_and_deliver(packets: list[bytes]) -> None:
            nonlocal made
            made += len(packets)
            deliver(packets)

        try:
            await self._stream(text, language, first_audio_timeout_s, count_and_deliver)
        except TurnError as error:
            return error
        except TimeoutError:
            return StageTimeoutError("tts", self._stall_timeout_s if made else first_audio_timeout_s)
        except Exception as error:  # noqa: BLE001 - a provider call: whatever it raises, the turn goes on
            return ProviderFailedError("tts", error)
        return None if made else NonsenseError("tts", "no sound")

    async def _stream(self, text: str, language: str, first_audio_timeout_s: float, deliver: Deliver) -> None:
        loop = asyncio.get_running_loop()
        press = FramePress(
            self._executor,
            self._tts.audio_format,
            sample_rate=self._sample_rate,
            frame_ms=self._frame_ms,
            max_packets=self._max_packets,
            deliver=deliver,
        )
        try:
            async with asyncio.timeout(first_audio_timeout_s) as limit:
                async with closing(self._tts.synthesize(text, language=language)) as chunks:
                    async for chunk in chunks:
                        if chunk:  # empty ones are no progress
                            limit.reschedule(loop.time() + self._stall_timeout_s)
                            press.feed(chunk)
                await press.finish()
        finally:
            press.close()

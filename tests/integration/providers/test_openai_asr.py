"""The openai recogniser against a real HTTP server, well behaved and not."""

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support import openai_stub as stub_replies
from tests.support.openai_stub import OpenAiStub, Reply
from xiaozhi_server.core.providers.asr.openai import OpenAiAsr
from xiaozhi_server.core.providers.openai_endpoint import (
    EndpointBusyError,
    EndpointError,
    EndpointFaultError,
    EndpointNonsenseError,
    EndpointRefusedError,
    EndpointTimeoutError,
    EndpointUnreachableError,
)

KEY = "sk-a-very-secret-key"
PCM = bytes(range(250)) * 64  # half a second at 16 kHz


@asynccontextmanager
async def talking(**settings: Any) -> AsyncIterator[tuple[OpenAiStub, OpenAiAsr]]:
    """A server and a provider that talks to it; both are gone when the test ends."""
    async with OpenAiStub() as stub:
        config = {"base_url": f"{stub.base_url}/audio/transcriptions", "api_key": KEY, "model_name": "m"}
        asr = OpenAiAsr(OpenAiAsr.Config.model_validate(config | settings))
        try:
            yield stub, asr
        finally:
            await asr.close()


def heard(text: str) -> Reply:
    return stub_replies.answers(b'{"text": "%s"}' % text.encode(), "application/json")


async def test_the_utterance_goes_there_as_a_wav_file() -> None:
    async with talking() as (stub, asr):
        stub.reply = heard(" 你好, world. ")
        transcript = await asr.transcribe(PCM, sample_rate=16_000, language="zh-CN")
        assert transcript.text == "你好, world."
        (seen,) = stub.seen
        assert seen.path == "/v1/audio/transcriptions"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body == {"model": "m", "response_format": "json", "language": "zh"}
        with wave.open(io.BytesIO(seen.file)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            assert file.readframes(file.getnframes()) == PCM


async def test_five_minutes_arrive_whole() -> None:
    """The longest utterance that can be set."""
    async with talking() as (stub, asr):
        stub.reply = heard("Long.")
        pcm = PCM * 600
        assert (await asr.transcribe(pcm, sample_rate=16_000, language=None)).text == "Long."
        with wave.open(io.BytesIO(stub.seen[0].file)) as file:
            assert file.readframes(file.getnframes()) == pcm


async def test_without_a_language_the_server_finds_it() -> None:
    async with talking() as (stub, asr):
        stub.reply = heard("")
        assert (await asr.transcribe(PCM, sample_rate=16_000, language=None)).text == ""
        assert "language" not in stub.seen[0].body


async def test_too_little_sound_is_no_request() -> None:
    async with talking() as (stub, asr):
        assert (await asr.transcribe(bytes(3000), sample_rate=16_000, language=None)).text == ""
        assert not stub.seen


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (stub_replies.fails_with(401, {"code": KEY}), EndpointRefusedError),
        (stub_replies.fails_with(429), EndpointBusyError),
        (stub_replies.fails_with(500), EndpointFaultError),
        (stub_replies.answers(b"<html>hello</html>", "text/html"), EndpointNonsenseError),
        (stub_replies.answers(b"{half", "application/json"), EndpointNonsenseError),
        (stub_replies.answers(b"[]", "application/json"), EndpointNonsenseError),
        (stub_replies.answers(b"[" * 500_000, "application/json"), EndpointNonsenseError),
        (stub_replies.answers(b'{"text": "%s"}' % (b"a" * 4 * 2**20), "application/json"), EndpointNonsenseError),
        (stub_replies.answers(b'{"text": null}', "application/json"), EndpointNonsenseError),
        (stub_replies.answers(b'{"text": {"a": 1}}', "application/json"), EndpointNonsenseError),
        (stub_replies.breaks_after(b'{"te'), EndpointUnreachableError),
        (stub_replies.streams(b'{"te', then_stall=True, content_type="application/json"), EndpointTimeoutError),
        (stub_replies.hangs, EndpointTimeoutError),
    ],
)
async def test_failures(reply: Reply, expected: type[EndpointError]) -> None:
    async with talking(timeout_s=0.5) as (stub, asr):
        stub.reply = reply
        with pytest.raises(expected) as caught:
            await asr.transcribe(PCM, sample_rate=16_000, language=None)
        assert KEY not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


async def test_a_trickle_does_not_outlive_the_deadline() -> None:
    async def trickle(request: Any) -> Any:
        pieces = [b"{"] + [b" "] * 1000
        return await stub_replies.streams(*pieces, then_stall=True, content_type="application/json", pause_s=0.05)(
            request
        )

    async with talking(timeout_s=0.3) as (stub, asr):
        stub.reply = trickle
        async with asyncio.timeout(3):
            with pytest.raises(EndpointTimeoutError):
                await asr.transcribe(PCM, sample_rate=16_000, language=None)


async def test_cancelling_ends_the_request() -> None:
    async with talking() as (stub, asr):
        stub.reply = stub_replies.hangs
        task = asyncio.create_task(asr.transcribe(PCM, sample_rate=16_000, language=None))
        async with asyncio.timeout(3):
            await stub.request_came.wait()
            task.cancel()
            await stub.client_left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_probe_makes_one_request() -> None:
    async with talking() as (stub, asr):
        stub.reply = heard("")
        assert (await asr.probe()).startswith("m at 127.0.0.1:")
        assert len(stub.seen) == 1

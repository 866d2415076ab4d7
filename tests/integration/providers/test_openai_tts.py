"""The openai voice against a real HTTP server, well behaved and not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from tests.support import openai_stub as stub_replies
from tests.support.openai_stub import OpenAiStub, Reply
from xiaozhi_server.core.providers.openai_endpoint import (
    EndpointBusyError,
    EndpointError,
    EndpointFaultError,
    EndpointNonsenseError,
    EndpointRefusedError,
    EndpointTimeoutError,
    EndpointUnreachableError,
)
from xiaozhi_server.core.providers.tts.base import AudioFormat
from xiaozhi_server.core.providers.tts.openai import OpenAiTts

KEY = "sk-a-very-secret-key"
SECRET_WORDS = "My safe opens with seven."
PCM_TYPE = "audio/pcm"


@asynccontextmanager
async def talking(**settings: Any) -> AsyncIterator[tuple[OpenAiStub, OpenAiTts]]:
    """A server and a provider that talks to it; both are gone when the test ends."""
    async with OpenAiStub() as stub:
        config = {"api_url": f"{stub.base_url}/audio/speech", "api_key": KEY, "model": "m", "voice": "v"}
        tts = OpenAiTts(OpenAiTts.Config.model_validate(config | settings))
        try:
            yield stub, tts
        finally:
            await tts.close()


async def speak(tts: OpenAiTts) -> list[bytes]:
    return [piece async for piece in tts.synthesize(SECRET_WORDS, language="en")]


async def test_sound_arrives_as_whole_samples() -> None:
    async with talking() as (stub, tts):
        stub.reply = stub_replies.streams(b"\1\2\3", b"\4\5\6", b"\7\x08\x09", content_type=PCM_TYPE)
        pieces = await speak(tts)
        assert b"".join(pieces) == bytes([1, 2, 3, 4, 5, 6, 7, 8])
        assert all(len(piece) % 2 == 0 for piece in pieces)
        (seen,) = stub.seen
        assert seen.path == "/v1/audio/speech"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body == {"model": "m", "voice": "v", "input": SECRET_WORDS, "response_format": "pcm"}


@pytest.mark.parametrize("codec", ["wav", "mp3", "opus", "aac", "flac"])
async def test_files_are_passed_on_as_they_are(codec: str) -> None:
    async with talking(format=codec, speed=1.5, sample_rate=16_000) as (stub, tts):
        stub.reply = stub_replies.streams(b"abc", b"de", content_type=f"audio/{codec}")
        assert b"".join(await speak(tts)) == b"abcde"
        assert tts.audio_format == AudioFormat(codec, 16_000)  # type: ignore[arg-type]
        assert (stub.seen[0].body["response_format"], stub.seen[0].body["speed"]) == (codec, 1.5)


async def test_the_first_piece_comes_before_the_last_is_made_and_closing_ends_the_request() -> None:
    async with talking() as (stub, tts):
        stub.reply = stub_replies.streams(b"abcd", content_type=PCM_TYPE, then_stall=True)
        sound = tts.synthesize(SECRET_WORDS, language=None)
        async with asyncio.timeout(3):
            async with aclosing(sound):
                assert await anext(sound) == b"abcd"
            await stub.client_left.wait()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (stub_replies.fails_with(401, None, True), EndpointRefusedError),
        (stub_replies.fails_with(429, None, True), EndpointBusyError),
        (stub_replies.fails_with(500, None, True), EndpointFaultError),
        (stub_replies.answers(b'{"error": "no"}', "application/json"), EndpointNonsenseError),
        (stub_replies.answers(b"<html>", "text/html"), EndpointNonsenseError),
        (stub_replies.answers(b"", PCM_TYPE), EndpointNonsenseError),
        (stub_replies.breaks_after(b"abcd", content_type=PCM_TYPE), EndpointUnreachableError),
        (stub_replies.streams(b"abcd", content_type=PCM_TYPE, then_stall=True), EndpointTimeoutError),
        (stub_replies.hangs, EndpointTimeoutError),
    ],
)
async def test_failures(reply: Reply, expected: type[EndpointError]) -> None:
    async with talking(timeout_s=0.5) as (stub, tts):
        stub.reply = reply
        with pytest.raises(expected) as caught:
            await speak(tts)
        assert KEY not in str(caught.value)
        assert "safe" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        stub.reply = stub_replies.streams(b"ab", content_type=PCM_TYPE)
        assert await speak(tts) == [b"ab"]


async def test_cancelling_ends_the_request() -> None:
    async with talking() as (stub, tts):
        stub.reply = stub_replies.streams(b"abcd", content_type=PCM_TYPE, then_stall=True)
        task = asyncio.create_task(speak(tts))
        async with asyncio.timeout(3):
            await stub.request_came.wait()
            task.cancel()
            await stub.client_left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nothing_to_say_is_no_request() -> None:
    async with talking() as (stub, tts):
        assert [piece async for piece in tts.synthesize("  ", language=None)] == []
        assert not stub.seen


async def test_probe_makes_one_request() -> None:
    async with talking() as (stub, tts):
        stub.reply = stub_replies.streams(b"abcd", content_type=PCM_TYPE, then_stall=True)
        assert (await tts.probe()).startswith("m, voice v, at 127.0.0.1:")
        assert len(stub.seen) == 1

"""The stand-in cloud as its users see it: through the openai SDK and plain HTTP."""

import asyncio
import io
import random
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI, DefaultAioHttpClient

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.cloud.sounds import read_sound
from firmware_sim.phrases import draw_facts
from firmware_sim.speech import speak

TEAL, BLUE = "My favourite colour is teal.", "My favourite colour is blue."


@asynccontextmanager
async def cloud_and_client() -> AsyncIterator[tuple[StandInCloud, AsyncOpenAI]]:
    http = DefaultAioHttpClient()
    async with (
        StandInCloud(phrases=[TEAL, BLUE, "你好。"]) as cloud,
        AsyncOpenAI(base_url=cloud.base_url, api_key="any", max_retries=0, timeout=5, http_client=http) as client,
    ):
        yield cloud, client


def wav(pcm: bytes) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm)
    return target.getvalue()


async def heard(client: AsyncOpenAI, pcm: bytes) -> str:
    answer = await client.audio.transcriptions.create(model="x", file=("a.wav", wav(pcm), "audio/wav"))
    return answer.text


async def streamed(client: AsyncOpenAI, *said: str) -> str:
    stream = await client.chat.completions.create(
        model="x", stream=True, messages=[{"role": "user", "content": text} for text in said]
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def test_model_answers_from_memory_and_from_the_conversation() -> None:
    async with cloud_and_client() as (_, client):
        fact = draw_facts(random.Random(), "en", 1)[0]
        remembered = f"<memory>\n[2026-01-02 10:00:00] {fact.statement}\n</memory>"
        assert fact.answer in await streamed(client, remembered, fact.question)
        assert fact.answer in await streamed(client, fact.statement, fact.question)
        assert fact.answer not in await streamed(client, fact.question)


async def test_whole_answers_and_models() -> None:
    async with cloud_and_client() as (_, client):
        whole = await client.chat.completions.create(model="x", messages=[{"role": "user", "content": "The sky."}])
        assert whole.choices[0].message.content == "You said: The sky."
        assert [model.id async for model in client.models.list()] == ["stand-in"]


async def test_tool_call_comes_in_pieces() -> None:
    async with cloud_and_client() as (_, client):
        stream = await client.chat.completions.create(
            model="x",
            stream=True,
            messages=[{"role": "user", "content": 'call volume with {"volume": 30}'}],
            tools=[{"type": "function", "function": {"name": "set_volume", "parameters": {}}}],
        )
        calls = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
        assert calls[0].function is not None
        assert calls[0].function.name == "set_volume"
        arguments = [call.function.arguments or "" for call in calls if call.function]
        assert "".join(arguments) == '{"volume": 30}'
        assert len(arguments) > 2


async def test_recogniser_tells_phrases_of_equal_length_apart() -> None:
    async with cloud_and_client() as (_, client):
        assert await heard(client, speak(TEAL)) == TEAL
        assert await heard(client, bytes(8000) + speak(BLUE) + bytes(8000)) == BLUE
        assert await heard(client, bytes(32_000)) == ""


@pytest.mark.parametrize("part", ["start", "middle", "end"])
async def test_200_lost_milliseconds_change_what_is_heard(part: str) -> None:
    async with cloud_and_client() as (_, client):
        pcm = speak(TEAL)
        voiced = len(pcm) - int(0.3 * 32_000)  # the voice ends with 300 ms of silence
        cut = 200 * 32
        at = {"start": 0, "middle": (voiced - cut) // 4 * 2, "end": voiced - cut}[part] // 2 * 2
        assert await heard(client, pcm[:at] + pcm[at + cut :]) != TEAL


@pytest.mark.parametrize("form", ["pcm", "wav", "mp3", "opus", "flac", "aac"])
async def test_voice_speaks_every_format(form: str) -> None:
    async with cloud_and_client() as (_, client):
        answer = await client.audio.speech.create(model="x", voice="x", input=TEAL, response_format=form)  # type: ignore[arg-type]
        seconds = len(answer.content) / 48_000 if form == "pcm" else len(read_sound(answer.content, 16_000)) / 32_000
        assert seconds == pytest.approx(len(speak(TEAL)) / 32_000, abs=0.15)


async def test_embeddings_of_like_texts_are_alike() -> None:
    async with cloud_and_client() as (_, client):
        answer = await client.embeddings.create(model="x", input=["a green door", "the green door", "zebra"])
        one, like, other = (item.embedding for item in answer.data)
        assert len(one) == 384
        assert sum(a * b for a, b in zip(one, like, strict=True)) > sum(a * b for a, b in zip(one, other, strict=True))


async def test_failures_count_down_and_are_told_apart() -> None:
    async with cloud_and_client() as (cloud, client):
        cloud.faults.chat = Fault(status=429, times=1)
        with pytest.raises(openai.RateLimitError):
            await streamed(client, "Hello")
        assert "Hello" in await streamed(client, "Hello")
        assert cloud.counts["chat"] == 2
        assert cloud.requests[-1].body["messages"][0]["content"] == "Hello"


@pytest.mark.parametrize("mode", ["cut", "cut_midway", "garbage"])
async def test_broken_answers_break_the_client(mode: str) -> None:
    async with cloud_and_client() as (cloud, client):
        cloud.faults.chat = Fault(mode=mode)  # type: ignore[arg-type]
        with pytest.raises((openai.APIError, aiohttp.ClientError, ValueError)):
            await streamed(client, "Tell me a long story about the sea.")
        cloud.faults.clear()
        assert await streamed(client, "Hello")


@pytest.mark.parametrize("mode", ["stall", "stall_midway"])
async def test_stalled_answers_last_until_the_caller_gives_up(mode: str) -> None:
    async with cloud_and_client() as (cloud, client):
        cloud.faults.chat = Fault(mode=mode)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await streamed(client, "Tell me a long story about the sea.")


async def test_delays_are_kept() -> None:
    async with cloud_and_client() as (cloud, client):
        cloud.faults.chat = Fault(delay_s=0.1, step_s=0.02)
        began = asyncio.get_running_loop().time()
        await streamed(client, "one two three four five")
        assert asyncio.get_running_loop().time() - began > 0.2


async def test_control_and_stats_over_http() -> None:
    async with cloud_and_client() as (cloud, client):
        root = cloud.base_url.removesuffix("/v1")
        async with aiohttp.ClientSession() as session:
            wishes = {"speech": {"status": 500, "times": 2}, "phrases": ["Stop."]}
            async with session.post(f"{root}/_control", json=wishes) as response:
                assert (await response.json())["speech"]["status"] == 500
            async with session.post(f"{root}/_control", json={"chat": {"mode": "sulk"}}) as response:
                assert response.status == 400
            assert await heard(client, speak("Stop.")) == "Stop."
            async with session.get(f"{root}/_stats") as response:
                assert (await response.json())["counts"] == {"transcription": 1}


async def test_a_cloud_can_lack_services_and_ask_for_its_key() -> None:
    async with StandInCloud(services=["chat"], api_key="right") as cloud:
        async with AsyncOpenAI(base_url=cloud.base_url, api_key="wrong", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError):
                await streamed(stranger, "Hello")
        async with AsyncOpenAI(base_url=cloud.base_url, api_key="right", max_retries=0) as friend:
            assert await streamed(friend, "Hello")
            with pytest.raises(openai.NotFoundError):
                await friend.audio.speech.create(model="x", voice="x", input="x")


async def test_what_does_not_fit_into_the_context_is_refused_as_openai_refuses_it() -> None:
    async with cloud_and_client() as (cloud, client):
        cloud.context_tokens = 100
        messages: list[Any] = [{"role": "user", "content": "I like green tea. " * 10}]
        fits = await client.chat.completions.create(model="x", messages=messages, max_tokens=40)
        assert fits.usage is not None
        assert 40 <= fits.usage.prompt_tokens <= 60
        with pytest.raises(openai.BadRequestError, match="maximum context length is 100") as refused:
            await client.chat.completions.create(model="x", messages=messages, max_tokens=60)
        assert refused.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError):
            await streamed(client, "我喜欢绿茶。" * 20)

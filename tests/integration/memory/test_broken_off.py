"""What mem0's models are asked is asked on the event loop, so that it ends with whoever waits for it."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.openai_stub import OpenAiStub, answers, fails_with, hangs
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.bridge import Mem0Bridge
from xiaozhi_server.core.providers.memory.mem0ai.by_mem0.mem0_parts import Part, open_llm

KEY = "sk-a-key-of-nobody"
ASKED = [{"role": "user", "content": "Say something."}]
LONG_S = 60.0
SOON_S = 5.0
PROVIDERS: Mapping[str, Mapping[str, str]] = {
    "openai": {"openai_base_url": "/v1"},
    "openai_structured": {"openai_base_url": "/v1"},
    "deepseek": {"deepseek_base_url": "/v1"},
    "vllm": {"vllm_base_url": "/v1"},
}


@pytest.fixture
async def stub() -> AsyncIterator[OpenAiStub]:
    async with OpenAiStub() as stub:
        yield stub


class Model:
    """One of mem0's models, asked in the only thread that there is."""

    def __init__(self, bridge: Mem0Bridge, llm: Any) -> None:
        self.bridge = bridge
        self._llm = llm

    async def ask(self, *, within_s: float = LONG_S) -> str:
        said = await self.bridge.run(lambda: self._llm.generate_response(messages=ASKED), timeout_s=within_s)
        return str(said)

    async def close(self) -> None:
        await self.bridge.run(self._llm.client.close, timeout_s=SOON_S)


async def opened(stub: OpenAiStub, folder: Path, provider: str = "openai", *, timeout_s: float = LONG_S) -> Model:
    bridge = Mem0Bridge(folder, threads=1)
    root = stub.base_url.removesuffix("/v1")
    config: dict[str, Any] = {"api_key": KEY, "model": "m"}
    config |= {name: root + path for name, path in PROVIDERS[provider].items()}
    part = Part(provider, config)
    return Model(bridge, await bridge.run(lambda: open_llm(part, timeout_s=timeout_s), timeout_s=LONG_S))


def chat(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    ).encode()


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_request_ends_with_whoever_waits_for_it(stub: OpenAiStub, tmp_path: Path, provider: str) -> None:
    stub.reply = hangs
    model = await opened(stub, tmp_path, provider)
    asking = asyncio.create_task(model.ask())
    async with asyncio.timeout(SOON_S):
        await stub.request_came.wait()
        asking.cancel()
        await stub.client_left.wait()
        stub.reply = answers(chat("Hello."), "application/json")
        assert await model.ask() == "Hello."  # there is but one thread
    with pytest.raises(asyncio.CancelledError):
        await asking
    await model.close()


async def test_a_request_ends_when_its_time_is_over(stub: OpenAiStub, tmp_path: Path) -> None:
    stub.reply = hangs
    model = await opened(stub, tmp_path)
    with pytest.raises(TimeoutError):
        await model.ask(within_s=0.5)
    async with asyncio.timeout(SOON_S):
        await stub.client_left.wait()
    assert await model.bridge.quiet(timeout_s=SOON_S)
    await model.close()


async def test_an_answer_that_trickles_ends_too(stub: OpenAiStub, tmp_path: Path) -> None:
    began = asyncio.Event()

    async def trickles(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b"{")
        began.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    stub.reply = trickles
    model = await opened(stub, tmp_path)
    asking = asyncio.create_task(model.ask())
    async with asyncio.timeout(SOON_S):
        await began.wait()
        asking.cancel()
        await stub.client_left.wait()
        await asyncio.wait({asking})
    assert await model.bridge.quiet(timeout_s=SOON_S)
    await model.close()


async def test_a_request_ends_when_the_client_is_closed(stub: OpenAiStub, tmp_path: Path) -> None:
    stub.reply = hangs
    model = await opened(stub, tmp_path)
    closing = Mem0Bridge(tmp_path, threads=1)
    asking = asyncio.create_task(model.ask())
    async with asyncio.timeout(SOON_S):
        await stub.request_came.wait()
        await closing.run(model._llm.client.close, timeout_s=SOON_S)
        await stub.client_left.wait()
    with pytest.raises(Exception, match="nobody waits"):
        await asking
    with pytest.raises(RuntimeError, match="closed"):
        await model.ask()


async def test_connections_are_used_again(stub: OpenAiStub, tmp_path: Path) -> None:
    stub.reply = answers(chat("Hello."), "application/json")
    model = await opened(stub, tmp_path)
    assert [await model.ask() for _ in range(3)] == ["Hello."] * 3
    assert len({seen.peer for seen in stub.seen}) == 1
    assert stub.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert stub.seen[0].body["messages"] == ASKED
    await model.close()


async def test_an_answer_that_is_packed_is_unpacked(stub: OpenAiStub, tmp_path: Path) -> None:
    stub.reply = answers(gzip.compress(chat("Hello.")), "application/json", headers={"Content-Encoding": "gzip"})
    model = await opened(stub, tmp_path)
    assert await model.ask() == "Hello."
    await model.close()


@pytest.mark.parametrize(("status", "name"), [(401, "AuthenticationError"), (429, "RateLimitError")])
async def test_a_refusal_is_told_by_its_name(stub: OpenAiStub, tmp_path: Path, status: int, name: str) -> None:
    await refused(stub, tmp_path, status, name)


async def test_a_failure_is_told_by_its_name(stub: OpenAiStub, tmp_path: Path) -> None:
    await refused(stub, tmp_path, 500, "InternalServerError")


async def refused(stub: OpenAiStub, folder: Path, status: int, name: str) -> None:
    stub.reply = fails_with(status)
    model = await opened(stub, folder)
    with pytest.raises(Exception, match="no") as raised:
        await model.ask()
    assert type(raised.value).__name__ == name
    assert KEY not in f"{raised.value!r} {raised.value}"
    assert len(stub.seen) == 1  # the outbox tries again, nobody else
    await model.close()


async def test_the_model_s_own_limit_holds(stub: OpenAiStub, tmp_path: Path) -> None:
    stub.reply = hangs
    model = await opened(stub, tmp_path, timeout_s=0.2)
    with pytest.raises(Exception, match="timed out") as raised:
        await model.ask()
    assert type(raised.value).__name__ == "APITimeoutError"
    async with asyncio.timeout(SOON_S):
        await stub.client_left.wait()
    await model.close()


async def test_a_server_that_is_not_there_is_told_by_its_name(stub: OpenAiStub, tmp_path: Path) -> None:
    model = await opened(stub, tmp_path)
    await stub.__aexit__(None, None, None)
    with pytest.raises(Exception, match="Connection error") as raised:
        await model.ask()
    assert type(raised.value).__name__ == "APIConnectionError"
    await model.close()


async def test_a_proxy_of_the_environment_is_used(
    stub: OpenAiStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.reply = answers(chat("Hello."), "application/json")
    monkeypatch.setenv("http_proxy", stub.base_url.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", "")
    elsewhere = OpenAiStub()
    elsewhere.base_url = "http://model.invalid/v1"
    model = await opened(elsewhere, tmp_path)
    assert await model.ask() == "Hello."
    assert stub.seen[0].headers["host"] == "model.invalid"
    await model.close()

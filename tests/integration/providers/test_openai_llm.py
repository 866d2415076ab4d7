"""The openai language model against a real HTTP server, well behaved and not."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from tests.support import openai_stub as stub_replies
from tests.support.openai_stub import OpenAiStub, Reply, chat, chunk, event, tool_piece
from xiaozhi_server.core.providers.llm.base import ChatMessage, LlmEvent, TextDelta, ToolCall, ToolCallRequest, ToolSpec
from xiaozhi_server.core.providers.llm.openai import OpenAiLlm
from xiaozhi_server.core.providers.openai_endpoint import (
    EndpointBusyError,
    EndpointError,
    EndpointFaultError,
    EndpointNonsenseError,
    EndpointRefusedError,
    EndpointRejectedError,
    EndpointTimeoutError,
    EndpointUnreachableError,
)

KEY = "sk-a-very-secret-key"
SECRET_WORDS = "my safe opens with seven"
MESSAGES = [ChatMessage("system", "Be kind."), ChatMessage("user", SECRET_WORDS)]
DONE = b"data: [DONE]\n\n"


def make(base_url: str, **settings: Any) -> OpenAiLlm:
    return OpenAiLlm(
        OpenAiLlm.Config.model_validate({"base_url": base_url, "api_key": KEY, "model": "m", "timeout": 5} | settings)
    )


@asynccontextmanager
async def talking(**settings: Any) -> AsyncIterator[tuple[OpenAiStub, OpenAiLlm]]:
    """A server and a provider that talks to it; both are gone when the test ends."""
    async with OpenAiStub() as stub:
        llm = make(stub.base_url, **settings)
        try:
            yield stub, llm
        finally:
            await llm.close()


async def ask(llm: OpenAiLlm, tools: tuple[ToolSpec, ...] = ()) -> list[LlmEvent]:
    return [event async for event in llm.stream(MESSAGES, tools)]


def text_of(events: list[LlmEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def everything_told_by(error: BaseException) -> str:
    told, link = "", error
    while link is not None:
        told += f"{type(link).__name__} {link} {link.args} {vars(link)} "
        link = link.__cause__ or link.__context__  # type: ignore[assignment]
    return told


async def test_streams_text_and_sends_what_was_asked() -> None:
    async with talking() as (stub, llm):
        stub.reply = chat("Hel", "lo ", "你好")
        events = await ask(llm)
        assert events == [TextDelta("Hel"), TextDelta("lo "), TextDelta("你好")]
        seen = stub.seen[0]
        assert seen.path == "/v1/chat/completions"
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.body == {
            "model": "m",
            "stream": True,
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": SECRET_WORDS}],
        }


async def test_the_first_piece_comes_before_the_last_is_made() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(chunk({"content": "first"}), then_stall=True)
        events = llm.stream(MESSAGES)
        async with aclosing(events), asyncio.timeout(3):
            assert await anext(events) == TextDelta("first")


async def test_settings_are_sent_only_where_they_are_set() -> None:
    async with talking(temperature=0.5, max_tokens="", top_p=None) as (stub, llm):
        stub.reply = chat("x")
        await ask(llm)
        assert stub.seen[0].body["temperature"] == 0.5
        assert not {"max_tokens", "top_p", "frequency_penalty", "tools"} & set(stub.seen[0].body)


async def test_reasoning_is_dropped() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(
            chunk({"role": "assistant", "content": None, "reasoning_content": "Let me think."}),
            chunk({"content": "", "reasoning": "More."}),
            chunk({"content": "Four."}),
            event({"id": "c", "choices": [], "usage": {"total_tokens": 3}}),
            b": still here\n\n",
            DONE,
        )
        assert text_of(await ask(llm)) == "Four."


async def test_tool_calls_are_joined() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(
            chunk({"content": "One moment."}),
            chunk({"tool_calls": [tool_piece(0, "lamp", "", "a")]}),
            chunk({"tool_calls": [tool_piece(0, None, '{"on":')]}),
            chunk({"tool_calls": [tool_piece(1, "time", "", "b"), tool_piece(0, None, " true}")]}),
            chunk({}, "tool_calls"),
            DONE,
        )
        events = await ask(llm, (ToolSpec("lamp", "Switch the lamp", {"type": "object"}), ToolSpec("time", "Tell it")))
        assert events == [
            TextDelta("One moment."),
            ToolCallRequest(ToolCall("a", "lamp", '{"on": true}')),
            ToolCallRequest(ToolCall("b", "time", "{}")),
        ]
        sent = [tool["function"] for tool in stub.seen[0].body["tools"]]
        assert [(tool["name"], tool["parameters"]["type"]) for tool in sent] == [("lamp", "object"), ("time", "object")]


async def test_a_tool_result_goes_back_with_its_call() -> None:
    async with talking() as (stub, llm):
        stub.reply = chat("Done.")
        call = ToolCall("a", "lamp", "{}")
        messages = [ChatMessage("assistant", "", (call,)), ChatMessage("tool", "ok", tool_call_id="a")]
        assert [event async for event in llm.stream(messages)]
        asked, result = stub.seen[0].body["messages"]
        assert asked["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "lamp", "arguments": "{}"}}]
        assert result == {"role": "tool", "content": "ok", "tool_call_id": "a"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (stub_replies.fails_with(401, {"code": "invalid_api_key"}, True), EndpointRefusedError),
        (stub_replies.fails_with(403, None, True), EndpointRefusedError),
        (stub_replies.fails_with(404, {"code": "model_not_found"}, True), EndpointRejectedError),
        (stub_replies.fails_with(400, {"code": SECRET_WORDS}, True), EndpointRejectedError),
        (stub_replies.fails_with(429, {"code": "insufficient_quota"}, True), EndpointBusyError),
        (stub_replies.fails_with(500, None, True), EndpointFaultError),
        (stub_replies.answers(b"<html>" + SECRET_WORDS.encode(), "text/html"), EndpointNonsenseError),
        (stub_replies.answers(b"", "text/event-stream"), EndpointNonsenseError),
        (stub_replies.streams(b"data: {" + SECRET_WORDS.encode() + b"\n\n"), EndpointNonsenseError),
        (stub_replies.streams(b"data: \xff\xfe\n\n"), EndpointNonsenseError),
        (stub_replies.streams(event({"choices": SECRET_WORDS})), EndpointNonsenseError),
        (stub_replies.streams(event([SECRET_WORDS])), EndpointNonsenseError),
        (stub_replies.streams(event({"choices": None})), EndpointNonsenseError),
        (stub_replies.streams(event({"error": {"message": SECRET_WORDS, "code": SECRET_WORDS}})), EndpointFaultError),
        (stub_replies.streams(b"data: " + b"my safe" * 2**18), EndpointNonsenseError),
        (stub_replies.streams(b"data: " + b"[" * 500_000 + b"\n\n"), EndpointNonsenseError),
        (stub_replies.streams(chunk({"tool_calls": [tool_piece(0, None, "{}")]}), DONE), EndpointNonsenseError),
        (stub_replies.breaks_after(chunk({"content": "Half"})), EndpointUnreachableError),
    ],
)
async def test_failures_say_what_failed_and_nothing_else(reply: Reply, expected: type[EndpointError]) -> None:
    async with talking() as (stub, llm):
        stub.reply = reply
        with pytest.raises(expected) as caught:
            await ask(llm)
        told = everything_told_by(caught.value)
        assert KEY not in told
        assert "safe" not in told
        assert "127.0.0.1" in str(caught.value)
        stub.reply = chat("Back.")
        assert text_of(await ask(llm)) == "Back."


async def test_an_error_inside_the_stream_is_told_by_its_code() -> None:
    async with talking() as (stub, llm):
        error = {"message": SECRET_WORDS, "code": "context_length_exceeded"}
        stub.reply = stub_replies.streams(chunk({"content": "Half"}), event({"error": error}))
        events = llm.stream(MESSAGES)
        assert await anext(events) == TextDelta("Half")
        with pytest.raises(EndpointFaultError, match=r"failed while it answered context_length_exceeded$"):
            await anext(events)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_a_stream_may_be_cut_anywhere_and_end_without_the_last_word(line_end: bytes) -> None:
    text = b": open\n\n" + chunk({"content": "你好, "}) + chunk({"content": "world"}) + b"event: ping\ndata:\n"
    told = text.replace(b"\n", line_end)
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(*(told[at : at + 3] for at in range(0, len(told), 3)))
        assert text_of(await ask(llm)) == "你好, world"


async def test_what_comes_after_the_last_word_is_not_read_and_the_connection_serves_the_next_turn() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(chunk({"content": "One."}), DONE, chunk({"content": "More."}))
        assert text_of(await ask(llm)) == "One."
        assert text_of(await ask(llm)) == "One."
        assert stub.seen[0].peer == stub.seen[1].peer


async def test_a_server_that_keeps_the_line_open_after_the_last_word_is_left() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(chunk({"content": "One."}), DONE, then_stall=True)
        async with asyncio.timeout(3):
            assert text_of(await ask(llm)) == "One."
            await stub.client_left.wait()


async def test_half_a_character_in_the_talk_can_be_sent() -> None:
    async with talking() as (stub, llm):
        stub.reply = chat("Well.")
        half = "\ud83d"
        assert [event async for event in llm.stream([ChatMessage("assistant", half)])] == [TextDelta("Well.")]
        assert stub.seen[0].body["messages"][0]["content"] == half


async def test_what_came_before_a_break_is_delivered() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.breaks_after(chunk({"content": "Half"}))
        events = llm.stream(MESSAGES)
        assert await anext(events) == TextDelta("Half")
        with pytest.raises(EndpointUnreachableError):
            await anext(events)


async def test_a_stall_ends_after_the_longest_silence() -> None:
    async with talking(timeout=0.2) as (stub, llm):
        stub.reply = stub_replies.streams(chunk({"content": "Half"}), then_stall=True)
        with pytest.raises(EndpointTimeoutError):
            await ask(llm)
        stub.reply = stub_replies.hangs
        with pytest.raises(EndpointTimeoutError):
            await ask(llm)
        assert len(stub.seen) == 2, "a timeout is not tried again"


async def test_closing_the_stream_ends_the_request() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(chunk({"content": "Half"}), then_stall=True)
        events = llm.stream(MESSAGES)
        await anext(events)
        await events.aclose()
        async with asyncio.timeout(3):
            await stub.client_left.wait()


@pytest.mark.parametrize("reply", [stub_replies.hangs, stub_replies.streams(event({"choices": []}), then_stall=True)])
async def test_cancelling_the_task_ends_the_request(reply: Reply) -> None:
    async with talking() as (stub, llm):
        stub.reply = reply
        task = asyncio.create_task(ask(llm))
        async with asyncio.timeout(3):
            await stub.request_came.wait()
            task.cancel()
            await stub.client_left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    llm = make(f"http://127.0.0.1:{port}/v1")
    with pytest.raises(EndpointUnreachableError, match="ECONNREFUSED") as caught:
        await ask(llm)
    assert KEY not in everything_told_by(caught.value)
    with pytest.raises(EndpointUnreachableError):
        await llm.probe()
    await llm.close()


async def test_a_connection_that_the_server_dropped_is_tried_again_at_once() -> None:
    async with talking() as (stub, llm):
        dropped = 0

        async def drop_the_first(request: Any) -> Any:
            nonlocal dropped
            if not dropped:
                dropped += 1
                request.transport.close()
                await stub_replies.hangs(request)
            return await chat("Again.")(request)

        stub.reply = drop_the_first
        assert text_of(await ask(llm)) == "Again."
        assert len(stub.seen) == 2


async def test_one_connection_serves_one_turn_after_the_other_and_several_providers() -> None:
    async with OpenAiStub() as stub:
        first, second, other_key = make(stub.base_url), make(stub.base_url), make(stub.base_url, api_key="other")
        stub.reply = chat("Hi.")
        for llm in (first, second, first, other_key):
            await ask(llm)
        assert len({seen.peer for seen in stub.seen[:3]}) == 1
        assert stub.seen[3].peer != stub.seen[0].peer
        await first.close()
        await ask(second)
        for llm in (second, other_key):
            await llm.close()


async def test_streams_of_one_provider_do_not_disturb_each_other() -> None:
    async with talking() as (stub, llm):

        async def reply(request: Any) -> Any:
            body = await request.json()
            return await chat(*body["messages"][0]["content"])(request)

        stub.reply = reply

        async def echo(text: str) -> str:
            return text_of([event async for event in llm.stream([ChatMessage("user", text)])])

        texts = [f"device {number}" for number in range(50)]
        assert await asyncio.gather(*map(echo, texts)) == texts


async def test_without_a_key_nobody_elses_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAiStub() as stub:
        for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
            monkeypatch.setenv(name, "belongs-elsewhere")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
        llm = make(stub.base_url, api_key="")
        stub.reply = chat("Hi.")
        await ask(llm)
        await llm.close()
        assert "authorization" not in stub.seen[0].headers
        assert "belongs-elsewhere" not in str(stub.seen[0].headers)


async def test_probe_makes_one_request() -> None:
    async with talking() as (stub, llm):
        stub.reply = stub_replies.streams(chunk({"role": "assistant"}), then_stall=True)
        assert (await llm.probe()).startswith("m at 127.0.0.1:")
        stub.reply = stub_replies.fails_with(401)
        with pytest.raises(EndpointRefusedError, match="HTTP 401"):
            await llm.probe()


def test_the_streams_are_generators_that_can_be_closed() -> None:
    llm = make("http://127.0.0.1:1/v1")
    assert isinstance(llm.stream(MESSAGES), AsyncGenerator)


async def test_what_only_this_service_knows_is_sent_as_it_is_but_changes_nothing_else() -> None:
    async with talking(extra_body={"enable_thinking": False, "model": "another", "stream": False}) as (stub, llm):
        stub.reply = chat("Hello")
        assert text_of(await ask(llm)) == "Hello"
        body = stub.seen[0].body
        assert (body["enable_thinking"], body["model"], body["stream"]) == (False, "m", True)

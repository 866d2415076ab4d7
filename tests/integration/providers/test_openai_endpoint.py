"""What all openai providers share: to whom they talk, how much they read, what they tell of a failure."""

import asyncio
import base64
import gzip
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.support import openai_stub as stub_replies
from tests.support.openai_stub import OpenAiStub
from xiaozhi_server.core.providers import http_pool
from xiaozhi_server.core.providers.openai_endpoint import (
    Endpoint,
    EndpointBusyError,
    EndpointConfig,
    EndpointError,
    EndpointRejectedError,
    EndpointUnreachableError,
    json_request,
)

KEY = "sk-a-very-secret-key"
ASK = json_request({"said": "my safe opens with seven"}, "application/json")
CERTIFICATE = Path(__file__).resolve().parents[2] / "support" / "tls" / "localhost.pem"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@asynccontextmanager
async def endpoint_at(base_url: str, key: str = KEY, timeout_s: float = 5) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(EndpointConfig.model_validate({"url": base_url, "api_key": key, "timeout": timeout_s}), "/x")
    try:
        yield endpoint
    finally:
        await endpoint.close()


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings of TLS are made anew in the test, and after it."""
    http_pool.tls_settings.cache_clear()
    yield monkeypatch
    http_pool.tls_settings.cache_clear()


async def test_a_redirect_is_not_followed() -> None:
    async with OpenAiStub() as elsewhere, OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        elsewhere.reply = stub_replies.answers(b"{}", "application/json")
        for status in (301, 302, 303, 307, 308):
            stub.reply = stub_replies.answers(b"", "text/plain", {"Location": f"{elsewhere.base_url}/x"}, status)
            with pytest.raises(EndpointRejectedError, match=f"HTTP {status}: it points elsewhere"):
                await endpoint.fetch_json(ASK)
        assert not elsewhere.seen


async def test_only_what_was_asked_for_is_sent() -> None:
    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        stub.reply = stub_replies.answers(b"{}", "application/json")
        await endpoint.fetch_json(ASK)
        sent = stub.seen[0].headers
        assert set(sent) == {
            "host",
            "user-agent",
            "authorization",
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
        }
        assert (sent["accept"], sent["content-type"]) == ("application/json", "application/json")


async def test_nothing_of_one_answer_comes_along_with_the_next_request() -> None:
    async with OpenAiStub() as stub:
        by_name = stub.base_url.replace("127.0.0.1", "localhost")
        async with endpoint_at(by_name) as endpoint:
            stub.reply = stub_replies.answers(b"{}", "application/json", {"Set-Cookie": "who=somebody"})
            await endpoint.fetch_json(ASK)
            await endpoint.fetch_json(ASK)
            assert "cookie" not in stub.seen[1].headers


async def test_a_compressed_answer_is_read() -> None:
    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        packed = gzip.compress(b'{"text": "Hi."}')
        stub.reply = stub_replies.answers(packed, "application/json", {"Content-Encoding": "gzip"})
        assert await endpoint.fetch_json(ASK) == {"text": "Hi."}


CODE = b'{"error": {"code": "insufficient_quota"}}'
PADDED_CODE = CODE + b" " * 65_536


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (CODE, "HTTP 429 insufficient_quota: too"),
        (b'{"code": "insufficient_quota"}', "HTTP 429 insufficient_quota: too"),
        (b'{"error": "insufficient_quota"}', "HTTP 429: too"),
        (b'{"error": {"code": ["insufficient_quota"]}}', "HTTP 429: too"),
        (b'{"error": {"code": "my safe"}}', "HTTP 429: too"),
        (b'["insufficient_quota"]', "HTTP 429: too"),
        (b"insufficient_quota", "HTTP 429: too"),
        (b"", "HTTP 429: too"),
        (b"\xff", "HTTP 429: too"),
        (b"[" * 60_000, "HTTP 429: too"),
        (PADDED_CODE, "HTTP 429: too"),
    ],
)
async def test_only_a_known_code_is_told_of_an_error(body: bytes, what: str) -> None:
    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        stub.reply = stub_replies.answers(body, "application/json", status=429)
        with pytest.raises(EndpointBusyError, match=what) as caught:
            await endpoint.open(ASK)
        assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("ending", ["stall", "cut"])
async def test_an_error_that_is_not_told_to_its_end_is_known_by_its_status(ending: str) -> None:
    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=429)
        await response.prepare(request)
        await response.write(CODE[:10])
        if ending == "stall":
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response

    async with OpenAiStub() as stub, endpoint_at(stub.base_url, timeout_s=60) as endpoint:
        stub.reply = reply
        async with asyncio.timeout(10):
            with pytest.raises(EndpointBusyError):
                await endpoint.open(ASK)


async def test_a_refused_request_leaves_the_connection_for_the_next() -> None:
    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        stub.reply = stub_replies.fails_with(500)
        for _ in range(2):
            with pytest.raises(EndpointError):
                await endpoint.open(ASK)
        assert stub.seen[0].peer == stub.seen[1].peer


async def test_a_connection_that_is_dropped_again_and_again_is_tried_twice() -> None:
    async def drop_two(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if len(stub.seen) > 2:
            return web.Response()
        request.transport.close()
        return await stub_replies.hangs(request)

    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        stub.reply = drop_two
        with pytest.raises(EndpointUnreachableError, match="the connection broke"):
            await endpoint.open(ASK)
        assert len(stub.seen) == 2


async def test_nobody_is_believed_whose_certificate_is_not_known(trusting: pytest.MonkeyPatch) -> None:
    trusting.delenv("SSL_CERT_FILE", raising=False)
    async with OpenAiStub(_server_tls()) as stub, endpoint_at(stub.base_url) as endpoint:
        with pytest.raises(EndpointUnreachableError, match=r"cannot connect \(SSLCertVerificationError\)"):
            await endpoint.open(ASK)
        assert not stub.seen


async def test_the_systems_authorities_may_be_replaced(trusting: pytest.MonkeyPatch) -> None:
    trusting.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with OpenAiStub(_server_tls()) as stub, endpoint_at(stub.base_url) as endpoint:
        stub.reply = stub_replies.streams(b"data: {}\n\n")
        answer = await endpoint.open(ASK)
        chunks = endpoint.pieces(answer, endpoint.chunks(answer))
        async with aclosing(chunks):
            assert [chunk async for chunk in chunks] == [{}]


def _server_tls() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    return context


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used(variable: str, no_proxies: pytest.MonkeyPatch) -> None:
    async with OpenAiStub() as proxy:
        address = proxy.base_url.removesuffix("/v1").replace("//", "//me:word@")
        no_proxies.setenv(variable, address)
        proxy.reply = stub_replies.answers(b"{}", "application/json")
        async with endpoint_at("http://voice.invalid/v1") as endpoint:
            assert await endpoint.fetch_json(ASK) == {}
        (seen,) = proxy.seen
        assert seen.headers["host"] == "voice.invalid"
        assert seen.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:word").decode()
        assert seen.headers["authorization"] == f"Bearer {KEY}"


async def test_through_a_proxy_tls_is_spoken_with_the_server_itself(
    trusting: pytest.MonkeyPatch, no_proxies: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        onward_reader, onward_writer = await asyncio.open_connection(*stub.address)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, onward_writer), _pump(onward_reader, writer))

    async with OpenAiStub(_server_tls()) as stub, await asyncio.start_server(tunnel, "127.0.0.1", 0) as proxy:
        trusting.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        no_proxies.setenv("HTTPS_PROXY", f"http://me:word@127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        stub.reply = stub_replies.answers(b"{}", "application/json")
        async with endpoint_at(stub.base_url) as endpoint:
            assert await endpoint.fetch_json(ASK) == {}
        assert stub.seen[0].headers["authorization"] == f"Bearer {KEY}"
        assert "proxy-authorization" not in stub.seen[0].headers
        (head,) = asked
        assert head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % stub.address[1])
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:word") in head
        assert KEY.encode() not in head


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("excepted", ["127.0.0.1", "*", "example.org, 127.0.0.1"])
async def test_some_are_asked_without_the_proxy(excepted: str, no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    no_proxies.setenv("NO_PROXY", excepted)
    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        stub.reply = stub_replies.answers(b"{}", "application/json")
        assert await endpoint.fetch_json(ASK) == {}


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "127.0.0.1:1", "socks5://127.0.0.1:1"])
async def test_nobody_is_asked_past_a_proxy_that_does_not_work(proxy: str, no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("HTTP_PROXY", proxy)
    async with OpenAiStub() as stub, endpoint_at(stub.base_url) as endpoint:
        with pytest.raises(EndpointUnreachableError):
            await endpoint.open(ASK)
        assert not stub.seen

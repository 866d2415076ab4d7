"""Every way to fail of every service of the stand-in cloud, as it looks on the wire."""

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from firmware_sim.cloud import Fault, StandInCloud
from firmware_sim.cloud.faults import MODES, SERVICES, Mode, Service
from firmware_sim.speech import speak

SAID = "I live in Oslo."
PATHS: dict[Service, str] = {
    "chat": "/chat/completions",
    "transcription": "/audio/transcriptions",
    "speech": "/audio/speech",
    "embeddings": "/embeddings",
    "models": "/models",
    "memory": "/ping/",
}
CHAT = {"model": "x", "stream": True, "messages": [{"role": "user", "content": "Tell me of the sea and its ships."}]}
BODIES: dict[Service, dict[str, Any]] = {
    "chat": CHAT,
    "speech": {"input": SAID, "response_format": "wav"},
    "embeddings": {"input": SAID},
}


def recording() -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(speak(SAID))
    return target.getvalue()


class Caller:
    """Asks a service in the plainest way."""

    def __init__(self, cloud: StandInCloud, session: aiohttp.ClientSession) -> None:
        self.cloud = cloud
        self._session = session

    @asynccontextmanager
    async def asked(self, service: Service) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self.cloud.base_url + PATHS[service]
        if service in ("models", "memory"):
            request = self._session.get(url)
        elif service == "transcription":
            form = aiohttp.FormData()
            form.add_field("file", recording(), filename="a.wav", content_type="audio/wav")
            request = self._session.post(url, data=form)
        else:
            request = self._session.post(url, json=BODIES[service])
        async with request as response:
            yield response

    async def whole(self, service: Service) -> bytes:
        async with self.asked(service) as response:
            response.raise_for_status()
            return await response.read()


@asynccontextmanager
async def caller() -> AsyncIterator[Caller]:
    async with StandInCloud(phrases=[SAID]) as cloud, aiohttp.ClientSession() as session:
        yield Caller(cloud, session)


def set_fault(cloud: StandInCloud, service: Service, fault: Fault) -> None:
    setattr(cloud.faults, service, fault)


def makes_sense(service: Service, body: bytes) -> bool:
    """Whether a client finds in it what it asked for."""
    try:
        if service == "speech":
            with wave.open(io.BytesIO(body)) as file:
                return int(file.getnframes()) > 1000
        if service == "chat":
            events = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
            deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
            text = "".join(str(delta.get("content", "")) for delta in deltas)
            return events[-1] == "[DONE]" and "sea" in text
        answer = json.loads(body)
        return bool(answer.get({"transcription": "text", "memory": "status"}.get(service, "data")))
    except (ValueError, EOFError, wave.Error, LookupError):
        return False


@pytest.mark.parametrize("service", SERVICES)
async def test_without_a_fault_the_answer_makes_sense(service: Service) -> None:
    async with caller() as ask:
        assert makes_sense(service, await ask.whole(service))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("mode", ["garbage", "empty"])
async def test_nonsense_is_a_whole_answer_without_sense(service: Service, mode: Mode) -> None:
    async with caller() as ask:
        set_fault(ask.cloud, service, Fault(mode=mode))
        assert not makes_sense(service, await ask.whole(service))


async def test_a_recogniser_that_heard_nothing_says_so() -> None:
    async with caller() as ask:
        set_fault(ask.cloud, "transcription", Fault(mode="empty"))
        assert json.loads(await ask.whole("transcription")) == {"text": ""}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_cut_connection_gives_no_answer(service: Service) -> None:
    async with caller() as ask:
        set_fault(ask.cloud, service, Fault(mode="cut"))
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask.whole(service)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_cut_midway_gives_half_an_answer(service: Service) -> None:
    async with caller() as ask:
        whole = await ask.whole(service)
        set_fault(ask.cloud, service, Fault(mode="cut_midway"))
        got = b""
        async with ask.asked(service) as response:
            with pytest.raises(aiohttp.ClientError):
                async for piece in response.content.iter_any():
                    got += piece
        assert 0 < len(got) < len(whole)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_stall_gives_nothing(service: Service) -> None:
    async with caller() as ask:
        set_fault(ask.cloud, service, Fault(mode="stall"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ask.whole(service)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_stall_midway_gives_half_an_answer_and_then_nothing(service: Service) -> None:
    async with caller() as ask:
        whole = await ask.whole(service)
        set_fault(ask.cloud, service, Fault(mode="stall_midway"))
        got = b""
        async with ask.asked(service) as response:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    async for piece in response.content.iter_any():
                        got += piece
        assert 0 < len(got) < len(whole)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_status_is_an_error_with_a_reason(service: Service, status: int) -> None:
    async with caller() as ask:
        set_fault(ask.cloud, service, Fault(status=status, times=1))
        async with ask.asked(service) as response:
            assert response.status == status
            assert (await response.json())["error"]["message"]
            assert ("Retry-After" in response.headers) == (status in (429, 503))
        assert makes_sense(service, await ask.whole(service))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_delay_comes_before_the_answer_and_changes_nothing_in_it(service: Service) -> None:
    async with caller() as ask:
        set_fault(ask.cloud, service, Fault(delay_s=0.1))
        loop = asyncio.get_running_loop()
        asked_at_s = loop.time()
        async with ask.asked(service) as response:
            assert loop.time() - asked_at_s >= 0.1
            assert makes_sense(service, await response.read())


async def test_the_fault_of_one_service_is_not_that_of_another() -> None:
    async with caller() as ask:
        for service in SERVICES:
            set_fault(ask.cloud, service, Fault(mode="cut"))
            for other in SERVICES:
                if other != service:
                    assert makes_sense(other, await ask.whole(other))
            ask.cloud.faults.clear()


async def test_closing_the_cloud_ends_its_stalls() -> None:
    async with caller() as ask:
        ask.cloud.faults.chat = Fault(mode="stall_midway")
        async with ask.asked("chat") as response:
            await asyncio.wait_for(ask.cloud.close(), 5)
            with pytest.raises(aiohttp.ClientError):
                await asyncio.wait_for(response.read(), 5)


def test_no_way_to_fail_is_left_out() -> None:
    assert set(MODES) == {"good", "garbage", "empty", "cut", "cut_midway", "stall", "stall_midway"}


@pytest.mark.parametrize(
    "wish",
    [
        {"chat": {"mode": "sulk"}},
        {"chat": {"delay_s": "soon"}},
        {"chat": {"status": 99}},
        {"chat": 5},
        {"chatt": {"status": 500}},
        {"phrases": "Stop."},
    ],
)
async def test_control_refuses_what_it_does_not_know_and_changes_nothing(wish: dict[str, Any]) -> None:
    async with StandInCloud(phrases=[]) as cloud, aiohttp.ClientSession() as session:
        async with session.post(cloud.base_url.removesuffix("/v1") + "/_control", json=wish) as response:
            assert response.status == 400
        assert cloud.faults.chat == Fault()

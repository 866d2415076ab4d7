"""The stand-in cloud: an OpenAI-compatible service and a Mem0 platform over real HTTP, with failures and delays to set.

For tests and benchmarks; it listens on loopback unless told otherwise and keeps nothing.
"""

import asyncio
import base64
import hashlib
import json
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from aiohttp import web

from firmware_sim.cloud.answers import Answer, answer
from firmware_sim.cloud.extraction import Erring, Wording, first_known, is_for_memory, worded
from firmware_sim.cloud.faults import SERVICES, Extraction, Fault, Faults, Service
from firmware_sim.cloud.form import read_form
from firmware_sim.cloud.listening import RATE, Recogniser
from firmware_sim.cloud.mem0_platform import Mem0Platform
from firmware_sim.cloud.shapes import chat_events, completion
from firmware_sim.cloud.sounds import CONTENT_TYPES, UnreadableError, read_sound, speech_file
from firmware_sim.cloud.tokens import tokens_asked, tokens_in, tokens_reserved
from firmware_sim.phrases import vocabulary

_MAX_UPLOAD_BYTES = 32 << 20
_LONGEST_STALL_S = 600.0
_TRANSCRIPTS_KEPT = 512
_CHUNK_BYTES = 4096
_GARBAGE = bytes(range(256)) * 4
_NOT_JSON = b"<html>502 no, this is not what you asked for"
_TERM = re.compile(r"[\u3400-\u9fff]|\w+")

Json = dict[str, Any]
Handler = Callable[[web.Request, Fault], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class CloudRequest:
    """One request as it came; an upload is told by its size and by what was heard in it."""

    service: Service
    body: Json


@dataclass(slots=True)
class _Stop:
    """Ends stalls and waits when the cloud closes."""

    event: asyncio.Event = field(default_factory=asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.event.wait()
        except TimeoutError:
            return


class StandInCloud:
    """Use it as a context manager; `base_url` ends with `/v1`, and `memory_host` is where the Mem0 platform is.

    A chat request that does not fit into `context_tokens`, with the answer that it makes room for, is refused. `erring`
    says how the model errs where it is asked for a memory.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        phrases: Iterable[str] | None = None,
        services: Sequence[Service] = SERVICES,
        api_key: str | None = None,
        dimensions: int = 384,
        context_tokens: int | None = None,
    ) -> None:
        self.faults = Faults()
        self.context_tokens = context_tokens
        self.erring: Erring | None = None
        self.requests: deque[CloudRequest] = deque(maxlen=1000)
        self.counts: Counter[str] = Counter()
        self.running: Counter[str] = Counter()
        self.left: Counter[str] = Counter()  # callers that did not wait for their answer
        self.base_url = ""
        self.speaker = ""  # whose voice it knows; transcripts then come wrapped with this name
        self.platform = Mem0Platform(self._reply, lambda body: self._note("memory", body))
        self._host = host
        self._port = port
        self._phrases = list(vocabulary() if phrases is None else phrases)
        self._services = services
        self._api_key = api_key
        self._dimensions = dimensions
        self._recogniser = Recogniser()
        self._transcripts: dict[bytes, str] = {}
        self._stop = _Stop()
        self._runner: web.AppRunner | None = None
        self._worker: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        # One worker: the voice and the recogniser's vocabulary are used by one request at a time.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="cloud")
        self._runner = web.AppRunner(self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self.base_url = f"http://{self._host}:{self._runner.addresses[0][1]}/v1"

    @property
    def memory_host(self) -> str:
        return self.base_url.removesuffix("/v1")

    async def close(self) -> None:
        self._stop.event.set()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)

    def learn(self, *phrases: str) -> None:
        """Add to what its recogniser can hear."""
        self._phrases += phrases
        self._transcripts.clear()

    async def warm_up(self) -> None:
        """Learn the vocabulary now instead of with the first transcription (about 10 ms a phrase)."""
        await self._work(self._learn_all)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_UPLOAD_BYTES)
        app.router.add_get("/v1/models", self._route("models", self._models))
        app.router.add_post("/v1/chat/completions", self._route("chat", self._chat))
        app.router.add_post("/v1/audio/transcriptions", self._route("transcription", self._transcribe))
        app.router.add_post("/v1/audio/speech", self._route("speech", self._speak))
        app.router.add_post("/v1/embeddings", self._route("embeddings", self._embed))
        for method, path, handler in self.platform.routes():
            app.router.add_route(method, path, self._route("memory", handler))
        app.router.add_post("/_control", self._control)
        app.router.add_get("/_stats", self._stats)
        return app

    async def _work(self, job: Callable[..., Any], *arguments: object) -> Any:
        assert self._worker is not None
        return await asyncio.get_running_loop().run_in_executor(self._worker, job, *arguments)

    # --- what all services share ---

    def _route(self, service: Service, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.counts[service] += 1
            if service not in self._services:
                return _error(404, "there is no such service here")
            if not self._is_allowed(request, "Token" if service == "memory" else "Bearer"):
                return _error(401, "wrong key")
            self.running[service] += 1
            try:
                return await self._misbehave(request, handler, self.faults.take(service))
            except asyncio.CancelledError:
                self.left[service] += 1
                raise
            finally:
                self.running[service] -= 1

        return handle

    def _is_allowed(self, request: web.Request, scheme: str) -> bool:
        return self._api_key is None or request.headers.get("Authorization") == f"{scheme} {self._api_key}"

    async def _misbehave(self, request: web.Request, handler: Handler, fault: Fault) -> web.StreamResponse:
        await self._stop.sleep(fault.delay_s)
        if fault.status != 200:
            headers = {"Retry-After": "1"} if fault.status in (429, 503) else None
            return _error(fault.status, "this failure was asked for", headers)
        if fault.mode == "stall":
            await self._stop.sleep(_LONGEST_STALL_S)
        if fault.mode in ("stall", "cut"):
            return _cut(request)
        return await handler(request, fault)

    async def _send(
        self, request: web.Request, content_type: str, pieces: Sequence[bytes], fault: Fault
    ) -> web.StreamResponse:
        """Send an answer piece by piece, as far as the fault lets it."""
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        async for piece in self._paced(pieces, fault):
            await response.write(piece)
        if fault.mode == "stall_midway":
            await self._stop.sleep(_LONGEST_STALL_S)
        if fault.mode in ("stall_midway", "cut_midway"):
            _cut(request)
            return response
        await response.write_eof()
        return response

    async def _paced(self, pieces: Sequence[bytes], fault: Fault) -> AsyncIterator[bytes]:
        count = max(1, len(pieces) // 2) if fault.mode.endswith("_midway") else len(pieces)
        for index, piece in enumerate(pieces[:count]):
            if index:
                await self._stop.sleep(fault.step_s)
            yield piece

    async def _reply(
        self, request: web.Request, body: Any, fault: Fault, *, empty: Json | None = None
    ) -> web.StreamResponse:
        """A JSON answer, in two pieces so that it can break in the middle; `empty` is a success without content."""
        answer_body = (empty or {}) if fault.mode == "empty" else body
        data = _NOT_JSON if fault.mode == "garbage" else json.dumps(answer_body).encode()
        middle = len(data) // 2
        return await self._send(request, "application/json", [data[:middle], data[middle:]], fault)

    def _note(self, service: Service, body: Json) -> None:
        self.requests.append(CloudRequest(service, body))

    # --- the services ---

    async def _models(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        models = [{"id": "stand-in", "object": "model", "created": 0, "owned_by": "nobody"}]
        return await self._reply(request, {"object": "list", "data": models}, fault)

    async def _chat(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        body = await _json(request)
        self._note("chat", body)
        asked = tokens_asked(body)
        if self.context_tokens is not None and asked + tokens_reserved(body) > self.context_tokens:
            return _too_long(self.context_tokens, asked, tokens_reserved(body))
        messages = body.get("messages") or []
        given = answer(messages, body.get("tools") or [])
        given = replace(given, text=worded(given.text, self._wording(body, fault), known=first_known(messages)))
        if not body.get("stream"):
            return await self._reply(request, completion(given, asked=asked), fault)
        usage_of = asked if (body.get("stream_options") or {}).get("include_usage") else None
        if fault.mode == "empty":
            given = Answer()
        events = [b"data: {not json\n\n"] if fault.mode == "garbage" else chat_events(given, usage_of=usage_of)
        return await self._send(request, "text/event-stream", events, fault)

    def _wording(self, body: Json, fault: Fault) -> Wording:
        messages = body.get("messages") or []
        if self.erring is None or fault.wording != "as_asked" or not is_for_memory(messages):
            return fault.wording
        return self.erring.wording(json.dumps(messages))

    async def _transcribe(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        form = read_form(request.headers.get("Content-Type", ""), await request.read())
        data = form.get("file")
        if data is None:
            return _error(400, "there is no file")
        try:
            text = await self._heard(data)
        except UnreadableError as error:
            return _error(400, f"the file cannot be read: {error}")
        if self.speaker and text:
            text = json.dumps({"speaker": self.speaker, "content": text}, ensure_ascii=False)
        language = form.get("language", b"").decode() or None
        self._note("transcription", {"bytes": len(data), "text": text, "language": language})
        if form.get("response_format") == b"text":
            plain = {"garbage": _GARBAGE, "empty": b""}.get(fault.mode, text.encode())
            return await self._send(request, "text/plain", [plain], fault)
        return await self._reply(request, {"text": text}, fault, empty={"text": ""})

    async def _heard(self, data: bytes) -> str:
        """A file that came before is known at once, so that a load measures the server and not this recogniser."""
        key = hashlib.blake2b(data, digest_size=16).digest()
        if key not in self._transcripts:
            if len(self._transcripts) >= _TRANSCRIPTS_KEPT:
                self._transcripts.clear()
            self._transcripts[key] = await self._work(self._hear, data)
        return self._transcripts[key]

    def _hear(self, data: bytes) -> str:
        self._learn_all()
        return self._recogniser.transcribe(read_sound(data, RATE))

    def _learn_all(self) -> None:
        new = [phrase for phrase in self._phrases if phrase not in self._recogniser.known]
        if new:
            self._recogniser.learn(*new)

    async def _speak(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        body = await _json(request)
        self._note("speech", body)
        form = str(body.get("response_format") or "mp3")
        if form not in CONTENT_TYPES:
            return _error(400, f"unknown format {form}")
        data: bytes = await self._work(speech_file, str(body.get("input") or ""), form)
        data = {"garbage": _GARBAGE, "empty": b""}.get(fault.mode, data)
        pieces = [data[start : start + _CHUNK_BYTES] for start in range(0, len(data), _CHUNK_BYTES)]
        return await self._send(request, CONTENT_TYPES[form], pieces, fault)

    async def _embed(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        body = await _json(request)
        self._note("embeddings", body)
        given = body.get("input")
        texts = [given] if isinstance(given, str) else [str(text) for text in given or []]
        size = int(body.get("dimensions") or self._dimensions)
        as_text = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _embedding(text, size, as_text=as_text)}
            for index, text in enumerate(texts)
        ]
        tokens = sum(map(tokens_in, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return await self._reply(request, {"object": "list", "data": data, "model": "stand-in", "usage": usage}, fault)

    # --- control ---

    async def _control(self, request: web.Request) -> web.Response:
        """`{"chat": {"mode": "stall"}, "phrases": ["…"], "extraction": {"delay_s": 2}, "clear": true}`."""
        try:
            wishes = await _json(request)
            faults = {service: Fault(**wishes[service]) for service in SERVICES if service in wishes}
            phrases = _phrases(wishes)
            extraction = Extraction(**wishes["extraction"]) if "extraction" in wishes else None
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if wishes.get("clear"):
            self.faults.clear()
        for service, fault in faults.items():
            setattr(self.faults, service, fault)
        if extraction is not None:
            self.platform.memories.extraction = extraction
        self.learn(*phrases)
        return web.json_response({service: asdict(getattr(self.faults, service)) for service in SERVICES})

    async def _stats(self, _: web.Request) -> web.Response:
        told = {"counts": self.counts, "running": self.running, "left": self.left}
        return web.json_response({**{name: dict(count) for name, count in told.items()}, "phrases": len(self._phrases)})


async def _json(request: web.Request) -> Json:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return body


def _phrases(wishes: Json) -> list[str]:
    unknown = wishes.keys() - {*SERVICES, "phrases", "extraction", "clear"}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    phrases = wishes.get("phrases", [])
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise ValueError("phrases is a list of texts")
    return phrases


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "stand_in", "code": status}, "detail": message}
    return web.json_response(body, status=status, headers=headers)


def _too_long(context: int, asked: int, reserved: int) -> web.Response:
    """As OpenAI says it."""
    message = (
        f"This model's maximum context length is {context} tokens. However, you requested {asked + reserved} tokens "
        f"({asked} in the messages, {reserved} in the completion)."
    )
    error = {"message": message, "type": "invalid_request_error", "param": "messages"}
    return web.json_response({"error": {**error, "code": "context_length_exceeded"}}, status=400)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _embedding(text: str, size: int, *, as_text: bool) -> list[float] | str:
    """A bag of words, each at a place of its own: equal words make texts alike."""
    vector = np.zeros(size, np.float32)
    for term in _TERM.findall(text.casefold()):
        digest = hashlib.blake2b(term.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1 if digest[4] % 2 else -1
    norm = float(np.linalg.norm(vector))
    vector /= norm or 1.0
    return base64.b64encode(vector.tobytes()).decode() if as_text else [float(value) for value in vector]

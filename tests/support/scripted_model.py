"""A language model over real HTTP that says what each test has it say, and remembers what it was asked."""

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Asked = dict[str, Any]  # the object that the memory shows
Answering = Callable[[Asked], Any]


class ScriptedModel:
    """`answers` is a text or what becomes JSON, or a function of what is asked that returns either."""

    def __init__(self, answers: Any = None) -> None:
        self.answers = {"memory": []} if answers is None else answers
        self.asked: list[Asked] = []
        self.base_url = ""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def part(self) -> dict[str, Any]:
        """mem0's object for this model."""
        config = {"api_key": "a key", "openai_base_url": self.base_url, "model": "scripted"}
        return {"provider": "openai", "config": config}

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        asked = json.loads(body["messages"][1]["content"])
        self.asked.append(asked)
        answer = self.answers(asked) if callable(self.answers) else self.answers
        text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "scripted",
                "choices": [choice],
                "usage": usage,
            }
        )

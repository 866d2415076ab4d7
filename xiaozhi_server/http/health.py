"""Whether the process lives, whether it can serve, and its counters in Prometheus' text form."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

# Answers the name of each part that is not ready, with the reason; nothing when all is well.
ReadinessCheck = Callable[[], Awaitable[dict[str, str]]]


class HealthHandler:
    def __init__(self, readiness: ReadinessCheck, metrics: CollectorRegistry) -> None:
        self._readiness = readiness
        self._metrics = metrics

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.alive),
            web.get("/readyz", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def alive(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(self, _: web.Request) -> web.Response:
        missing = await self._readiness()
        if missing:
            return web.json_response({"status": "not ready", "missing": missing}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        text = generate_latest(self._metrics).decode()
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

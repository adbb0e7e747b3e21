"""The metrics port: `GET /metrics`, and nothing else."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from ostiary.metrics import Metrics

_HEADERS: Final = {"Server": "ostiary"}


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """Answers a scrape."""

    metrics: Metrics

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        if request.path != "/metrics" or request.method not in {"GET", "HEAD"}:
            return web.Response(status=404, text="metrics are at /metrics\n", headers=_HEADERS)
        headers = {**_HEADERS, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self.metrics.exposition(), headers=headers)

    def unreadable(self) -> web.Response:
        """Answer what is not HTTP."""
        return web.Response(status=400, text="this is no HTTP request\n", headers=_HEADERS)

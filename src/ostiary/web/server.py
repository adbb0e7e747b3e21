"""The front: every request on the web port comes in here, and every error goes out here.

Finds the route, holds a place in `limits.requests`, and turns whatever a handler raises into a
response by the table in `ostiary.web.errors`. No exception of ours or of a library gets past it.
`HttpServer` puts it behind aiohttp's HTTP, whose own errors would quote what they could not read.
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import hdrs, web

from ostiary.budget import Budget
from ostiary.errors import OstiaryError, ProxyLoopError
from ostiary.matrix.homeserver import VIA
from ostiary.metrics import Metrics
from ostiary.web.answers import refusal_answer
from ostiary.web.errors import INTERNAL, NOT_HTTP, Refusal, refusal_of
from ostiary.web.headers import EVERYWHERE
from ostiary.web.health import Health
from ostiary.web.routes import Call, Route, match

log = structlog.get_logger()

Handler = Callable[[web.BaseRequest, Call], Awaitable[web.StreamResponse]]

_FIRST_OF_OURS = 500  # from this status on the fault is not the caller's


class Front:
    """The handler that aiohttp's low-level server calls for each request."""

    def __init__(self, handle: Handler, health: Health, requests: Budget, metrics: Metrics) -> None:
        self._handle = handle
        self._health = health
        self._requests = requests
        self._metrics = metrics

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, whatever it is."""
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(status=204, headers={**EVERYWHERE, "Access-Control-Max-Age": "86400"})
        with structlog.contextvars.bound_contextvars(request=uuid.uuid4().hex[:12]):
            try:
                return await self._answer(request)
            except OstiaryError as error:
                return self._refused(refusal_of(error))
            except Exception:
                log.exception("error", kind="internal", method=request.method)
                return self._counted(INTERNAL)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        _refuse_loops(request)
        call = match(request.method, request.raw_path)
        if call.route is Route.HEALTH:
            return self._health.live()
        if call.route is Route.READY:
            return self._health.ready()
        if call.route is Route.PUBLIC_KEY:  # deployments probe it: a full gateway must not look dead
            return await self._handle(request, call)
        async with self._requests.share(1):
            return await self._handle(request, call)

    def unreadable(self) -> web.Response:
        """Answer what is not HTTP; the connection can't go on after that."""
        response = self._refused(NOT_HTTP)
        response.force_close()
        return response

    def _refused(self, refusal: Refusal) -> web.Response:
        say = log.warning if refusal.status >= _FIRST_OF_OURS else log.info
        word = "error" if refusal.status >= _FIRST_OF_OURS else "refused"
        say(word, kind=refusal.kind, status=refusal.status, reason=refusal.reason, info=refusal.info)
        return self._counted(refusal)

    def _counted(self, refusal: Refusal) -> web.Response:
        self._metrics.errors.labels(refusal.kind).inc()
        return refusal_answer(refusal)


class HttpServer(web.Server):
    """aiohttp's low-level server with our front; a connection may be silent for `idle` seconds."""

    def __init__(self, front: Front, idle: float) -> None:
        super().__init__(
            front,
            handler_cancellation=True,  # whoever goes away stops the scan of what it asked for
            access_log=None,  # it would write `?access_token=` down
            keepalive_timeout=idle,
            auto_decompress=False,  # a request's bytes are counted as they come
        )
        self._front = front

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, self._front, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """aiohttp's protocol; what it can't parse is answered and logged by the front."""

    __slots__ = ("_front",)

    def __init__(self, server: HttpServer, front: Front, **options: Any) -> None:  # noqa: ANN401  (aiohttp's)
        super().__init__(server, **options)
        self._front = front

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != NOT_HTTP.status or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        return self._front.unreadable()


def _refuse_loops(request: web.BaseRequest) -> None:
    """Refuse what we sent ourselves: it would go round until something breaks (RFC 9110, 7.6.3)."""
    for via in request.headers.getall(hdrs.VIA, ()):
        if any(hop.split()[1:2] == [VIA] for hop in via.split(",")):
            raise ProxyLoopError(
                "this request has been here before: the homeserver's address leads back to the gateway"
            )

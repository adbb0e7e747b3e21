"""The front: every request on the web port comes in here, and every error goes out here.

Finds the route, holds a place in `limits.requests`, and turns whatever a handler raises into a
response by the table in `ostiary.web.errors`. No exception of ours or of a library gets past it.
"""

import uuid
from collections.abc import Awaitable, Callable

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
        structlog.contextvars.clear_contextvars()  # the connection's last request left its own
        structlog.contextvars.bind_contextvars(request=uuid.uuid4().hex[:12])
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
        structlog.contextvars.bind_contextvars(route=call.route.value)
        if call.route is Route.HEALTH:
            return self._health.live()
        if call.route is Route.READY:
            return self._health.ready()
        if call.route is Route.PUBLIC_KEY:  # deployments probe it: a full gateway must not look dead
            return await self._handle(request, call)
        async with self._requests.share(1):
            return await self._handle(request, call)

    def unreadable(self) -> web.Response:
        """Answer what is not HTTP."""
        return self._refused(NOT_HTTP)

    def _refused(self, refusal: Refusal) -> web.Response:
        ours = refusal.status >= _FIRST_OF_OURS and refusal.kind != "refused"
        say, word = (log.warning, "error") if ours else (log.info, "refused")
        say(word, kind=refusal.kind, status=refusal.status, reason=refusal.reason, info=refusal.info)
        return self._counted(refusal)

    def _counted(self, refusal: Refusal) -> web.Response:
        self._metrics.errors.labels(refusal.kind).inc()
        return refusal_answer(refusal)


def _refuse_loops(request: web.BaseRequest) -> None:
    """Refuse what we sent ourselves: it would go round until something breaks (RFC 9110, 7.6.3)."""
    for via in request.headers.getall(hdrs.VIA, ()):
        if any(hop.split()[1:2] == [VIA] for hop in via.split(",")):
            raise ProxyLoopError(
                "this request has been here before: the homeserver's address leads back to the gateway"
            )

"""aiohttp's low-level HTTP server, with its own voice taken away.

Left alone, aiohttp answers what it can't parse by quoting it, tokens and all, in the response and in
the log. Here whoever stands behind the server says what such a request is answered with.
"""

from typing import Any, Final, Protocol

from aiohttp import web

_BAD_REQUEST: Final = 400


class Door(Protocol):
    """What answers requests: called for each that can be read."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        ...

    def unreadable(self) -> web.Response:
        """Answer what is not HTTP."""
        ...


class HttpServer(web.Server):
    """Brings requests to a door; a connection may be idle for `idle` seconds between two of them."""

    def __init__(self, door: Door, idle: float) -> None:
        super().__init__(
            door,
            handler_cancellation=True,  # whoever goes away stops the scan of what it asked for
            access_log=None,  # it would write `?access_token=` down
            keepalive_timeout=idle,
            auto_decompress=False,  # a request's bytes are counted as they come
        )
        self._door = door

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, self._door, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """aiohttp's protocol; what it can't parse is answered by the door, and ends the connection."""

    __slots__ = ("_door",)

    def __init__(self, server: HttpServer, door: Door, **options: Any) -> None:  # noqa: ANN401  (aiohttp's)
        super().__init__(server, **options)
        self._door = door

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != _BAD_REQUEST or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        response = self._door.unreadable()
        response.force_close()
        return response

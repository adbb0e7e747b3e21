"""aiohttp's low-level HTTP server, with bounds, and with its own voice taken away.

Left alone, aiohttp answers what it can't parse by quoting it, tokens and all, in the response and in
the log. Here whoever stands behind the server says what such a request is answered with. What a
client can hold without being let in is bounded: connections, the head of a request, the requests
and the garbage behind one that waits, and the time in which it must take an answer.
"""

import asyncio
from typing import Any, Final, Protocol

from aiohttp import HttpVersion10, HttpVersion11, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

_BAD_REQUEST: Final = 400
_SPOKEN: Final = {HttpVersion10, HttpVersion11}  # aiohttp would answer 0.9 and 2.0 in the same words
_HEAD: Final = 1 << 16  # bytes of a request line and its headers
_LINE: Final = 1 << 15  # bytes of a request line, and of a header
_READ_AHEAD: Final = 1 << 16  # bytes of a body that wait for us, twice that at most
_QUEUE: Final = 2  # requests behind one that waits, before we stop reading; aiohttp has 32, whole heads each
_GARBAGE: Final = (_ErrInfo(_BAD_REQUEST, HttpProcessingError(), ""), EMPTY_PAYLOAD)


class Door(Protocol):
    """What answers requests: called for each that can be read."""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        ...

    def unreadable(self) -> web.Response:
        """Answer what is not HTTP."""
        ...


class HttpServer(web.Server):
    """Brings requests to a door.

    A connection may be idle for `idle` seconds between two requests, and as long in taking an
    answer. Of more than `most` connections the newest are closed at once.
    """

    def __init__(self, door: Door, idle: float, most: int) -> None:
        super().__init__(
            self._answer,
            handler_cancellation=True,  # whoever goes away stops the scan of what it asked for
            access_log=None,  # it would write `?access_token=` down
            keepalive_timeout=idle,
            auto_decompress=False,  # a request's bytes are counted as they come
            read_bufsize=_READ_AHEAD,
            max_line_size=_LINE,
            max_field_size=_LINE,
        )
        self._door = door
        self._idle = idle
        self._most = most

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, self._door, loop=self._loop, **self._kwargs)

    @property
    def full(self) -> bool:
        """Whether there are more connections than there may be."""
        return len(self.connections) > self._most

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the door's answer, whole, and cut off whoever does not take it."""
        if request.version in _SPOKEN:
            response = await self._door(request)
        else:
            response = self._door.unreadable()
            response.force_close()
        if request.method == hdrs.METH_CONNECT:
            response.force_close()  # aiohttp takes its body, if it has one, for the next request
        try:
            async with asyncio.timeout(self._idle):
                await response.prepare(request)
                await response.write_eof()
        except (TimeoutError, OSError):
            if request.transport is not None:
                request.transport.abort()
        return response


class _Connection(web.RequestHandler):
    """aiohttp's protocol; what it can't parse is answered by the door, and ends the connection."""

    __slots__ = ("_body", "_door", "_garbled", "_head", "_server")

    def __init__(self, server: HttpServer, door: Door, **options: Any) -> None:  # noqa: ANN401  (aiohttp's)
        super().__init__(server, **options)
        self._max_msg_queue_size = _QUEUE
        self._msg_queue_resume_size = _QUEUE - 1
        self._server = server
        self._door = door
        self._garbled = False  # whether something came that can't be parsed
        self._head = 0  # bytes of a request's head that has not ended yet, or behind garbage
        self._body: StreamReader | None = None  # of the last request whose head was read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._server.full:
            self._cut()

    def data_received(self, data: bytes) -> None:
        if self._garbled:
            self._head += len(data)  # read on, or nobody would notice that the client went away
        else:
            self._parse(data)
        if self._head > _HEAD:
            self._cut()

    def _cut(self) -> None:
        if self.transport is not None:  # never by its class: uvloop's are not asyncio's
            self.transport.abort()

    def _parse(self, data: bytes) -> None:
        before = self._request_count
        between = self._body is None or self._body.is_eof()
        super().data_received(data)
        if self._request_count != before and self._messages:
            message, self._body = self._messages[-1]
            self._head = 0
            if isinstance(message, _ErrInfo):
                self._garbled = True
                message.exc.__traceback__ = None  # its frames hold the data, and in a circle
                self._messages[-1] = _GARBAGE  # and its words quote it
        elif between:
            self._head += len(data)

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

"""Responses: JSON, refusals, and the bytes of a media, sent at the client's pace but not for ever.

Whoever asks for a part, or whether its own copy is still good, is answered from the same bytes.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import hdrs, web

from ostiary.blob import Blob
from ostiary.web.conditions import Span, span, unchanged
from ostiary.web.errors import NO_SUCH_RANGE, Refusal
from ostiary.web.headers import MEDIA, NOT_STORED

log = structlog.get_logger()

_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_SLICE: Final = 1 << 16  # bytes between two looks at the clock
_SLOW: Final = 1 << 15  # bytes a second
_GRACE: Final = 10.0  # seconds before anybody is called slow


def json_answer(
    body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] = NOT_STORED
) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=json.dumps(body).encode(), status=status, headers=headers, content_type="application/json"
    )


def refusal_answer(refusal: Refusal) -> web.Response:
    """Return the response to a refusal."""
    response = json_answer(refusal.body(), refusal.status)
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = refusal.retry_after
    if refusal.allow is not None:
        response.headers["Allow"] = refusal.allow  # RFC 9110, 15.5.6
    return response


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly an answer may be taken: `idle` seconds for a slice of 64 KiB.

    Where others wait for room (`pressed`), whoever takes less than 32 KiB a second on the whole is cut
    off: a few that read at a crawl must not keep everybody else out.
    """

    idle: float
    pressed: Callable[[], bool]

    def too_slow(self, sent: int, seconds: float) -> bool:
        """Say whether who took so many bytes in so many seconds is in others' way."""
        return seconds > _GRACE and sent < _SLOW * seconds and self.pressed()


@dataclass(frozen=True, slots=True)
class Labels:
    """What the headers of a media's response say of it."""

    content_type: str
    disposition: str
    etag: str


async def send_media(request: web.BaseRequest, blob: Blob, labels: Labels, pace: Pace) -> web.StreamResponse:
    """Send what of the blob is asked for, while it is held, and return the finished response.

    A client that takes nothing for `idle` seconds is cut off. So is one whose response we can't
    finish: its status has gone out, and a short body must not look like a whole one.
    """
    part = None
    if request.method in _SAFE:  # elsewhere these headers mean nothing of the kind (RFC 9110, 13.2.1, 14.2)
        if unchanged(", ".join(request.headers.getall(hdrs.IF_NONE_MATCH, ())), labels.etag):
            return web.Response(status=304, headers={**MEDIA, "ETag": labels.etag})
        if request.method == hdrs.METH_GET:
            wanted, condition = request.headers.get(hdrs.RANGE), request.headers.get(hdrs.IF_RANGE)
            part = span(wanted, condition, labels.etag, blob.size)
    if part is not None and not part.satisfiable:
        response = refusal_answer(NO_SUCH_RANGE)
        response.headers["Content-Range"] = str(part)
        return response
    return await _send_bytes(request, blob, _head(request, blob, labels, part), part, pace)


def _head(request: web.BaseRequest, blob: Blob, labels: Labels, part: Span | None) -> web.StreamResponse:
    headers = {**MEDIA, "Content-Type": labels.content_type, "Content-Disposition": labels.disposition}
    if part is None and blob.data is not None and blob.size <= _SLICE:
        response: web.StreamResponse = web.Response(body=blob.data, headers=headers)  # goes out in one write
    else:
        response = web.StreamResponse(headers=headers)
        response.content_length = blob.size
    if request.method in _SAFE:
        response.headers["ETag"] = labels.etag
        response.headers["Accept-Ranges"] = "bytes"
    if part is not None:
        response.set_status(206)
        response.headers["Content-Range"] = str(part)
        response.content_length = part.stop - part.start
    return response


async def _send_bytes(
    request: web.BaseRequest, blob: Blob, response: web.StreamResponse, part: Span | None, pace: Pace
) -> web.StreamResponse:
    start, stop = (0, blob.size) if part is None else (part.start, part.stop)
    began, sent = time.monotonic(), 0
    try:
        async with asyncio.timeout(pace.idle):
            await response.prepare(request)
        if request.method != "HEAD" and not isinstance(response, web.Response):
            async for chunk in blob.chunks(start=start, stop=stop):
                for piece in _slices(chunk):
                    async with asyncio.timeout(pace.idle):
                        await response.write(piece)
                    sent += len(piece)
                    if pace.too_slow(sent, time.monotonic() - began):
                        raise TimeoutError
        async with asyncio.timeout(pace.idle):
            await response.write_eof()
    except (TimeoutError, OSError) as error:
        log.debug("a response was not taken to its end", error=type(error).__name__)
        _cut(request)
    except Exception:  # an error response now would be taken for bytes of the media
        log.exception("error", kind="internal", method=request.method)
        _cut(request)
    return response


def _slices(chunk: bytes) -> Iterator[memoryview]:
    for start in range(0, len(chunk), _SLICE):
        yield memoryview(chunk)[start : start + _SLICE]


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()

"""Responses: JSON, refusals, and the bytes of a media, sent at the client's pace but not for ever."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web

from ostiary.blob import Blob
from ostiary.web.errors import Refusal
from ostiary.web.headers import MEDIA, NOT_STORED

log = structlog.get_logger()

_SLICE: Final = 1 << 16  # bytes between two looks at the clock


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
    return response


async def send_media(
    request: web.BaseRequest, blob: Blob, *, content_type: str, disposition: str, idle: float
) -> web.StreamResponse:
    """Send the blob while it is held, and return the finished response.

    A client that takes nothing for `idle` seconds is cut off. So is one whose response we can't
    finish: its status has gone out, and a short body must not look like a whole one.
    """
    response = web.StreamResponse(
        headers={**MEDIA, "Content-Type": content_type, "Content-Disposition": disposition}
    )
    response.content_length = blob.size
    try:
        async with asyncio.timeout(idle):
            await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in blob.chunks():
                await _send(response, chunk, idle)
        async with asyncio.timeout(idle):
            await response.write_eof()
    except (TimeoutError, OSError) as error:
        log.debug("a response was not taken to its end", error=type(error).__name__)
        _cut(request)
    except Exception:  # an error response now would be taken for bytes of the media
        log.exception("error", kind="internal", method=request.method)
        _cut(request)
    return response


async def _send(response: web.StreamResponse, chunk: bytes, idle: float) -> None:
    for start in range(0, len(chunk), _SLICE):
        async with asyncio.timeout(idle):
            await response.write(memoryview(chunk)[start : start + _SLICE])


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()

"""Request bodies, read with a limit on their bytes and on the client's slowness."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from ostiary.blocking import run_blocking
from ostiary.budget import Budget
from ostiary.errors import MalformedRequestError, RequestTooLargeError
from ostiary.wire.strict_json import JsonValue, parse_object

JSON_LIMIT: Final = 1 << 20
"""Bytes of a JSON body, and of the `body` part of a form."""

_STRETCH: Final = 1 << 16  # bytes that a client must send in its `idle` seconds

_FREE: Final = 1 << 16  # a JSON body up to this counts as part of its request, larger ones take room
_ROOM: Final = 2 * JSON_LIMIT  # bytes that a larger one takes: as it came, and as one piece


def json_room() -> Budget:
    """Return the room for large JSON bodies, in bytes.

    They come before any token, and honest ones have a few KB: what they may take is little, and
    never what media needs.
    """
    return Budget("request bodies", 16 * _ROOM, wait=1)


async def pieces(
    request: web.BaseRequest, limit: int, idle: float, stretch: int = _STRETCH
) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, at most `limit` bytes, each `stretch` within `idle` seconds of waiting.

    A limit on silence alone would let one byte now and then hold a place for ever.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "").lower() not in {"", "identity"}:
        raise MalformedRequestError("the request body is compressed: send it as it is")
    await _invite(request)
    loop = asyncio.get_running_loop()
    size, got, patience = 0, 0, idle
    while True:
        asked = loop.time()
        piece = await _piece(request, patience)
        if not piece:
            return
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        got, patience = got + len(piece), patience - (loop.time() - asked)
        if got >= stretch:
            got, patience = 0, idle
        yield piece


async def _piece(request: web.BaseRequest, patience: float) -> bytes:
    try:
        async with asyncio.timeout(patience):
            return await request.content.readany()
    except TimeoutError:
        raise MalformedRequestError("the request body did not arrive in time") from None
    except (web.RequestPayloadError, HttpProcessingError, OSError):
        raise MalformedRequestError("the request body was cut short") from None


async def json_object(request: web.BaseRequest, room: Budget, idle: float) -> dict[str, JsonValue]:
    """Return the body's JSON object; MalformedRequestError or RequestTooLargeError otherwise.

    The whole body must come within `idle` seconds. It takes room once more than 64 KiB are here:
    what is only announced takes none.
    """
    if request.content_length is not None and request.content_length > JSON_LIMIT:
        raise _too_large(JSON_LIMIT)
    body = bytearray()
    async with AsyncExitStack() as held:
        async for piece in pieces(request, JSON_LIMIT, idle, stretch=JSON_LIMIT):
            if len(body) <= _FREE < len(body) + len(piece):
                await held.enter_async_context(room.share(_ROOM))
            body += piece
        if len(body) > _FREE:
            return await run_blocking(parse_object, bytes(body))
        return parse_object(bytes(body))


def _too_large(limit: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"the request body is larger than {limit} bytes")


async def _invite(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue` (RFC 9110, 10.1.1) now that we really want the body."""
    if request.version < HttpVersion11:
        return  # RFC 9110, 10.1.1: such a client can't have meant it
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        writer = request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # those bytes are not part of the response

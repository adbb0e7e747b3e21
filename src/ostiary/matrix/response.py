"""One answer of the homeserver, read with mistrust: headers, body, and what it says in a refusal.

Below the client (`ostiary.matrix.homeserver`), which sends and decides. Headers are taken by name,
in their grammar and bounded; bodies are whole or an error; what reaches a log or a client holds no
control characters, whatever the homeserver wrote.
"""

import asyncio
import errno
import json
import os
import re
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.matrix.content_encoding import Decoder, coding_of

_JSON_BODY: Final = 1 << 16
_LONGEST_HEADER: Final = 2048
_LONGEST_TEXT: Final = 500
_LONGEST_WAIT: Final = 10**9  # milliseconds; who says more says nothing
_FIRST_ERROR: Final = 400
_TRANSFER_ENCODING: Final = "transfer-encoding"
_SHORTEST_TOKEN: Final = 8

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2: token
_QUOTED: Final = r'"[\x20\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]*"'  # no comma, no backslash
_CONTENT_TYPE: Final = re.compile(rf"{_WORD}/{_WORD}(?: *; *(?:{_WORD}=(?:{_WORD}|{_QUOTED}))?)* *")
_ERRCODE: Final = re.compile(r"[0-9A-Za-z_.]{1,100}")
_SECONDS: Final = re.compile(r"[0-9]{1,6}")


def decoder_of(response: aiohttp.ClientResponse) -> Decoder | None:
    """Return what undoes the body's encoding, None where it has none; HomeserverError if nothing can."""
    # aiohttp's parser heeds `Transfer-Encoding :` as well, and of several the last: chunks would be the file.
    named = [(name.strip().lower(), value.lower()) for name, value in response.headers.items()]
    transfer = [value for name, value in named if name == _TRANSFER_ENCODING]
    if len(transfer) > 1 or (transfer and transfer[0] != "chunked"):  # RFC 9112, 6.1
        raise HomeserverError("the homeserver's answer has a transfer encoding that nobody asked for")
    coding = coding_of(", ".join(response.headers.getall("Content-Encoding", ())))
    return None if coding is None else Decoder(coding)


def says_its_end(response: aiohttp.ClientResponse) -> bool:
    """Say whether the body has a length or is chunked, so that a cut one is noticed (RFC 9112, 8)."""
    return response.content_length is not None or "Transfer-Encoding" in response.headers


def content_type(response: aiohttp.ClientResponse) -> str | None:
    """Return the Content-Type, None where it is missing, too long, or not in RFC 9110's grammar.

    Nor if a comma is in it: browsers go by the last of several types (Fetch, "extract a MIME type").
    """
    value = header(response, "Content-Type")
    return value if value and _CONTENT_TYPE.fullmatch(value) else None


def header(response: aiohttp.ClientResponse, name: str) -> str | None:
    """Return a header's first value, None where it is missing, too long, or holds control characters."""
    value = response.headers.get(name, "").replace("\t", " ")
    return value if value and len(value) <= _LONGEST_HEADER and value.isprintable() else None


async def body(
    response: aiohttp.ClientResponse, decoder: Decoder | None, deadline: float
) -> AsyncIterator[bytes]:
    """Yield the body, decoded; HomeserverError where it is cut, damaged, or not here by the deadline.

    `deadline` is a time of the event loop.
    """
    while chunk := await _read(response, deadline):
        if decoder is None:
            yield chunk
        else:
            for piece in decoder.feed(chunk):
                yield piece
    if decoder is not None:
        for piece in decoder.end():
            yield piece


async def _read(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    try:
        async with asyncio.timeout_at(deadline):
            return await response.content.readany()
    except TimeoutError:
        raise HomeserverError("the homeserver sends too slowly (download.timeout)") from None
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        raise HomeserverError(f"the homeserver's answer was cut short: {name_of(error)}") from error


async def json_body(response: aiohttp.ClientResponse, deadline: float) -> dict[str, object]:
    """Return the JSON object that the body is; HomeserverError if it is none, or longer than 64 KiB."""
    text = bytearray()
    async for chunk in body(response, decoder_of(response), deadline):
        text += chunk
        if len(text) > _JSON_BODY:
            raise HomeserverError("the homeserver's JSON answer is too long")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise HomeserverError("the homeserver's answer is not the JSON it should be")
    return parsed


async def refusal(
    response: aiohttp.ClientResponse, deadline: float, token: str | None = None
) -> HomeserverError | HomeserverRefusalError:
    """Read a Matrix error; what is none (a proxy's page, a cut answer) keeps its status only.

    Words that repeat the `token` which was sent are dropped: they go into logs, and to the client.
    """
    if response.status < _FIRST_ERROR:
        return HomeserverError(f"the homeserver answered {response.status}, which nobody asked for")
    try:
        said = await json_body(response, deadline)
    except HomeserverError:
        said = {}
    said = {name: value for name, value in said.items() if not _repeats(value, token)}
    errcode, error, soft_logout = said.get("errcode"), said.get("error"), said.get("soft_logout")
    retry_after = response.headers.get("Retry-After", "")
    return HomeserverRefusalError(
        response.status,
        errcode if isinstance(errcode, str) and _ERRCODE.fullmatch(errcode) else "M_UNKNOWN",
        _readable(error) if isinstance(error, str) else f"the homeserver answered {response.status}",
        soft_logout=soft_logout if isinstance(soft_logout, bool) else None,
        retry_after_ms=_wait(said.get("retry_after_ms")),
        retry_after=retry_after if _SECONDS.fullmatch(retry_after) else None,
    )


def _repeats(said: object, token: str | None) -> bool:
    """Say whether a text holds the token; what is shorter than any real one may stand in any sentence."""
    return isinstance(said, str) and token is not None and len(token) >= _SHORTEST_TOKEN and token in said


def _wait(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _LONGEST_WAIT else None


def _readable(text: str) -> str:
    """Return the text without what could break a log line, a terminal or a JSON parser."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST_TEXT])


def name_of(error: BaseException) -> str:
    """Name an error of the HTTP client without its URL or headers."""
    if isinstance(error, OSError) and error.errno and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

"""HTTP to a Hasher-Matcher-Actioner: small questions, bounded answers, no redirects, no proxy.

A connection serves one request: HMA's own servers keep none open, and a kept one that ends while we
send can't be told from a server that fails. Errors name what the operator can do.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from ostiary.errors import EngineError

CONNECT_SECONDS: Final = 5.0
"""Patience for a connection."""

ANSWER_BYTES: Final = 1 << 20
"""Bytes of an answer."""

_ADVICE: Final = {
    400: "it refuses the question: are the content and signal types enabled?",
    401: "it wants credentials, which Ostiary has none of",
    403: "it does not allow this: has it the roles hasher and matcher?",
    404: "it does not know this path: is the URL that of an HMA with the roles hasher and matcher?",
    500: "it failed; its own log says why, and files that it can't decode end like this too",
    503: "its index is building",
}


class HmaUnreachableError(EngineError):
    """It could not be connected to, or the connection was cut."""


class FileTooLargeError(EngineError):
    """It takes no file of that size (413)."""


class HmaClient:
    """Asks the HMA at `url`; opened with the first question, on the running event loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return the body of a 200; EngineError for anything else."""
        async with self._request("GET", path, params=query or {}) as response:
            return await _body(response)

    async def post(self, path: str, headers: Mapping[str, str], body: bytes | AsyncIterator[bytes]) -> bytes:
        """Return the body of a 200; EngineError for anything else."""
        async with self._request("POST", path, headers=headers, data=body) as response:
            return await _body(response)

    async def probe(self, path: str) -> None:
        """Return when it answers at all, whatever it says."""
        async with self._request("GET", path):
            return

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _request(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:  # noqa: ANN401  (aiohttp's)
        session = self._opened()
        try:
            async with session.request(method, self._url + path, allow_redirects=False, **more) as response:
                yield response
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            what = "it can't be reached" if isinstance(error, OSError) else "the connection failed"
            raise HmaUnreachableError(f"{what} ({type(error).__name__})") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise EngineError("the hma engine is not running")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),  # the engine's slots bound it
                headers={"Accept-Encoding": "identity", "User-Agent": "ostiary"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the whole body of a good answer."""
    if response.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise FileTooLargeError("it takes no file of that size")
    if response.status != HTTPStatus.OK:
        advice = _ADVICE.get(response.status, "no answer of its API")
        raise EngineError(f"it answered {response.status}: {advice}")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES:
            raise EngineError(f"its answer has more than {ANSWER_BYTES >> 20} MiB")
    return bytes(body)

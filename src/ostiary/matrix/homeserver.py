"""The homeserver as a client sees it: media, streamed with the caller's own token, and whoami.

Everything it answers is hostile: headers are picked by name and bounded, error bodies too,
redirects never followed, and an answer that we didn't ask for (206, or 304) is an error. The token
goes to the configured base URL and nowhere else. Which route is asked first stands in `media_routes`.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeGuard

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ostiary.errors import HomeserverError, HomeserverRefusalError, OverloadedError
from ostiary.matrix.connector import QuietConnector
from ostiary.matrix.download import Download, download_of, let_go
from ostiary.matrix.media_routes import path_of, route_prefixes, try_next
from ostiary.matrix.response import json_body, name_of, refusal
from ostiary.model import Forwarded, Identity, MediaRequest
from ostiary.turns import Turns

VIA: Final = "ostiary"
"""Our pseudonym in `Via` (RFC 9110, 7.6.3): a request that carries it has been here before."""

_CONDITIONS: Final = (
    *("If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"),
    *("If-Range", "Range"),
)
_LONGEST_WORD: Final = 255  # characters of a user ID or a version
_QUESTIONS: Final = 16  # connections for what is asked about callers and the homeserver itself
_OK: Final = 200
_NOT_MODIFIED: Final = 304


class Homeserver:
    """Asks one homeserver; `timeout` is for a whole fetch, in seconds, its queue included."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        max_concurrent: int,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._timeout = timeout
        self._proxy = proxy
        self._max_concurrent = max_concurrent
        self._headers = CIMultiDict({"User-Agent": "ostiary"})
        self._headers.update(headers or {})
        self._headers["Accept-Encoding"] = "identity"
        self._headers["Via"] = f"1.1 {VIA}"
        self.turns = Turns("fetches", max_concurrent)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()

    @asynccontextmanager
    async def media(self, request: MediaRequest, etag: str | None = None) -> AsyncIterator[Download | None]:
        """Open the media; HomeserverRefusalError where the homeserver says no.

        With the `etag` of a copy in hand: None where the homeserver would serve that very copy
        (304, RFC 9110, 13.1.2).
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout_at(deadline):
                    await held.enter_async_context(self.turns.turn(request.token or request.ref.server_name))
            except TimeoutError:
                raise OverloadedError(self.turns.what) from None
            response = await self._first_answer(request, etag, deadline)
            held.callback(let_go, response)
            yield None if response.status == _NOT_MODIFIED else download_of(response, deadline)

    async def whoami(self, token: str, forwarded: Forwarded = ()) -> Identity:
        """Return whom the token belongs to; HomeserverRefusalError (401) for a bad one."""
        answer = await self._get_json("/_matrix/client/v3/account/whoami", token, forwarded)
        user, guest = answer.get("user_id"), answer.get("is_guest", False)
        if not _is_word(user) or not user.startswith("@") or not isinstance(guest, bool):
            raise HomeserverError("the homeserver's whoami names no user")
        return Identity(user, guest)

    async def versions(self) -> tuple[str, ...]:
        """Return the spec versions that the homeserver speaks: the cheapest sign of life."""
        answer = await self._get_json("/_matrix/client/versions", None, ())
        versions = answer.get("versions")
        if not isinstance(versions, list) or not all(_is_word(version) for version in versions):
            raise HomeserverError("the answer to /_matrix/client/versions is not a homeserver's")
        return tuple(versions)

    async def _first_answer(
        self, request: MediaRequest, etag: str | None, deadline: float
    ) -> aiohttp.ClientResponse:
        *fallible, last = route_prefixes(authenticated=request.token is not None)
        for route in fallible:
            try:
                return await self._get(path_of(route, request), request, etag, deadline)
            except HomeserverRefusalError as refusal:
                if not try_next(refusal, authenticated=request.token is not None):
                    raise
        return await self._get(path_of(last, request), request, etag, deadline)

    async def _get(
        self, path: str, request: MediaRequest, etag: str | None, deadline: float
    ) -> aiohttp.ClientResponse:
        headers = _headers(request.token, request.forwarded)
        if etag is not None:
            headers["If-None-Match"] = etag
        session = self._session("media", self._max_concurrent)
        response = await self._send(session, path, headers, deadline, request.token)
        if response.status == _NOT_MODIFIED and etag is None:
            let_go(response)
            raise HomeserverError("the homeserver answered 304, which nobody asked for")
        return response

    async def _get_json(self, path: str, token: str | None, forwarded: Forwarded) -> dict[str, object]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        session = self._session("questions", _QUESTIONS)  # nobody's slow media keeps others from being known
        response = await self._send(session, path, _headers(token, forwarded), deadline, token)
        try:
            if response.status != _OK:
                raise HomeserverError(f"the homeserver answered {response.status}, which nobody asked for")
            return await json_body(response, deadline)
        finally:
            let_go(response)

    async def _send(
        self,
        session: aiohttp.ClientSession,
        path: str,
        headers: Mapping[str, str],
        deadline: float,
        token: str | None,
    ) -> aiohttp.ClientResponse:
        """Return the answer if it is 200 or 304, read the refusal if not; time runs from the queue on."""
        url = URL(self._base + path, encoded=True)
        try:
            async with asyncio.timeout_at(deadline):
                response = await session.get(url, headers=headers, allow_redirects=False, proxy=self._proxy)
        except TimeoutError:
            raise HomeserverError("the homeserver did not answer in time (download.timeout)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
                raise OverloadedError("descriptors") from None  # ours have run out, not the homeserver's
            raise HomeserverError(f"the homeserver can't be reached: {name_of(error)}") from error
        if response.status in {_OK, _NOT_MODIFIED}:
            return response
        try:
            raise await refusal(response, deadline, token)
        finally:
            let_go(response)

    def _session(self, purpose: str, connections: int) -> aiohttp.ClientSession:
        """Open it with the first request: a session belongs to a running event loop."""
        if purpose not in self._sessions:
            self._sessions[purpose] = aiohttp.ClientSession(
                connector=QuietConnector(limit=connections),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,  # `matrix.response` decodes, and notices a stream that is cut
            )
        return self._sessions[purpose]


def _headers(token: str | None, forwarded: Forwarded) -> CIMultiDict[str]:
    """Return the headers of one request: those that were named for the homeserver, and the token."""
    headers = CIMultiDict(forwarded)
    headers.popall("Authorization", None)  # the token is the caller's only credential
    for name in _CONDITIONS:
        headers.popall(name, None)  # a caller's copy is not ours
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if "Via" in headers:
        headers["Via"] = f"{headers['Via']}, 1.1 {VIA}"
    return headers


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD and value.isprintable()

"""Direct mode: media from the server that its URI names, where the operator runs no homeserver for us.

Stands where `ostiary.matrix.homeserver` stands otherwise. Nothing of the caller goes to a stranger: no
token, no forwarded header. So only the old routes are asked, which need none, and nothing that a stranger
says reaches a client in its own words: a code that logs people out, or a text that lures them, must not.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import aiohttp
from multidict import CIMultiDict

from ostiary.errors import HomeserverRefusalError
from ostiary.matrix.delegation import Endpoint
from ostiary.matrix.discovery import Discovery
from ostiary.matrix.download import Download, download_of, let_go
from ostiary.matrix.homeserver import VIA
from ostiary.matrix.media_routes import LEGACY, path_of, try_next
from ostiary.matrix.public_address import is_public
from ostiary.matrix.public_client import AddressCheck, Lookup, PublicClient, look_up
from ostiary.matrix.response import refusal
from ostiary.model import Forwarded, MediaRequest

PATIENCE: Final = 10.0
"""Seconds for one well-known file, and never more than a third of the whole fetch."""

_LONGEST_WAIT: Final = 60  # seconds that a stranger may make our clients wait
_ERRCODES: Final = frozenset({
    "M_FORBIDDEN", "M_LIMIT_EXCEEDED", "M_NOT_FOUND", "M_NOT_YET_UPLOADED", "M_TOO_LARGE", "M_UNRECOGNIZED",
})  # fmt: skip
_OK: Final = 200
_NOT_MODIFIED: Final = 304
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403


class DirectServers:
    """Asks any homeserver; `timeout` is for a whole fetch, in seconds, discovery and queue included.

    Of `headers`, those of the configuration, a stranger sees the User-Agent alone.
    """

    def __init__(
        self,
        *,
        timeout: float,
        max_concurrent: int,
        headers: Mapping[str, str] | None = None,
        check: AddressCheck = is_public,
        lookup: Lookup = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout
        self._client = PublicClient(
            user_agent=CIMultiDict(headers or {}).get("User-Agent", "ostiary"),
            via=f"1.1 {VIA}",
            max_concurrent=max_concurrent,
            check=check,
            lookup=lookup,
            tls=tls,
        )
        patience = min(PATIENCE, timeout / 3)
        self._discovery = Discovery(self._client, patience=patience, clock=time.monotonic)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    @asynccontextmanager
    async def media(self, request: MediaRequest, etag: str | None = None) -> AsyncIterator[Download | None]:
        """Open the media; HomeserverRefusalError where its server says no. The token is not used.

        With the `etag` of a copy in hand: None where the server would serve that very copy (304).
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        endpoint = await self._discovery.endpoint(request.ref.server_name, deadline)
        response = await self._first_answer(endpoint, request, etag, deadline)
        try:
            if response.status == _NOT_MODIFIED:
                yield None
                return
            yield download_of(response, deadline)
        finally:
            let_go(response)

    async def whoami(self, token: str, forwarded: Forwarded = ()) -> NoReturn:  # noqa: ARG002  (as homeservers take)
        """Refuse (403): nobody here can say whose token it is, and 401 would make clients log out."""
        text = "this gateway has no homeserver that could check the access token"
        raise HomeserverRefusalError(_FORBIDDEN, "M_FORBIDDEN", text)

    async def _first_answer(
        self, endpoint: Endpoint, request: MediaRequest, etag: str | None, deadline: float
    ) -> aiohttp.ClientResponse:
        first, last = LEGACY
        try:
            return await self._get(endpoint, _local(path_of(first, request)), etag, deadline)
        except HomeserverRefusalError as refused:
            if not try_next(refused, authenticated=False):
                raise
        return await self._get(endpoint, _local(path_of(last, request)), etag, deadline)

    async def _get(
        self, endpoint: Endpoint, path: str, etag: str | None, deadline: float
    ) -> aiohttp.ClientResponse:
        condition = {} if etag is None else {"If-None-Match": etag}
        response = await self._client.get(
            endpoint.base + path, deadline, host=endpoint.host, headers=condition
        )
        if response.status == _OK or (response.status == _NOT_MODIFIED and etag is not None):
            return response
        try:
            said = await refusal(response, deadline)
        finally:
            let_go(response)
        raise _in_our_words(said) if isinstance(said, HomeserverRefusalError) else said


def _local(path: str) -> str:
    """Forbid the server to fetch the media from yet another one, which prevents loops."""
    return f"{path}{'&' if '?' in path else '?'}allow_remote=false"


def _in_our_words(said: HomeserverRefusalError) -> HomeserverRefusalError:
    """Keep of a stranger's refusal what a client can act on.

    M_UNKNOWN_TOKEN, and 401 at large, are about the caller's own session, which no stranger knows.
    """
    if said.status == _UNAUTHORIZED:
        text = "the media's server gives it only to those who log in there"
        return HomeserverRefusalError(_FORBIDDEN, "M_FORBIDDEN", text)
    errcode = said.errcode if said.errcode in _ERRCODES else "M_UNKNOWN"
    seconds, milliseconds = said.retry_after, said.retry_after_ms
    return HomeserverRefusalError(
        said.status,
        errcode,
        f"the media's server answered {said.status}",
        retry_after=None if seconds is None else str(min(int(seconds), _LONGEST_WAIT)),
        retry_after_ms=None if milliseconds is None else min(milliseconds, _LONGEST_WAIT * 1000),
    )

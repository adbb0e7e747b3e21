"""The homeserver as a client sees it: media, streamed with the caller's own token, and whoami.

Everything it answers is hostile: headers are picked by name and bounded, error bodies too,
redirects never followed, and an answer that we didn't ask for (206, or 304) is an error. The token
goes to the configured base URL and nowhere else. Which route is asked first stands in `_routes`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeGuard
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.matrix.content_encoding import Decoder
from ostiary.matrix.response import body, content_type, decoder_of, header, json_body, name_of, refusal
from ostiary.model import Forwarded, Identity, MediaRequest

VIA: Final = "ostiary"
"""Our pseudonym in `Via` (RFC 9110, 7.6.3): a request that carries it has been here before."""

_AUTHENTICATED: Final = "/_matrix/client/v1/media"
_CONDITIONS: Final = (
    *("If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"),
    *("If-Range", "Range"),
)
_LEGACY: Final = ("/_matrix/media/v3", "/_matrix/media/r0")
_LONGEST_WORD: Final = 255  # characters of a user ID or a version
_OK: Final = 200
_NOT_MODIFIED: Final = 304
_LONGEST_ETAG: Final = 256
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose headers are here and whose body is still to come.

    `size` is None where the homeserver did not announce it, `etag` where it gave none that can be
    asked with. The body must be read inside the context that gave the Download.
    """

    size: int | None
    content_type: str | None
    content_disposition: str | None
    etag: str | None
    _response: aiohttp.ClientResponse
    _decoder: Decoder | None
    _deadline: float

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, once; HomeserverError where it is cut short, damaged or comes too late."""
        return body(self._response, self._decoder, self._deadline)


class MediaSource(Protocol):
    """Whoever media is fetched from."""

    def media(
        self, request: MediaRequest, etag: str | None = None
    ) -> AbstractAsyncContextManager[Download | None]:
        """Open the media; with the ETag of a copy in hand, None says that the copy is what it is."""
        ...


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
        self._open_session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._open_session is not None:
            await self._open_session.close()

    @asynccontextmanager
    async def media(self, request: MediaRequest, etag: str | None = None) -> AsyncIterator[Download | None]:
        """Open the media; HomeserverRefusalError where the homeserver says no.

        With the `etag` of a copy in hand: None where the homeserver would serve that very copy
        (304, RFC 9110, 13.1.2).
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        response = await self._first_answer(request, etag, deadline)
        try:
            if response.status == _NOT_MODIFIED:
                yield None
                return
            decoder = decoder_of(response)
            yield Download(
                # A compressed body's length says nothing about what comes out.
                size=response.content_length if decoder is None else None,
                content_type=content_type(response),
                content_disposition=header(response, "Content-Disposition"),
                etag=_etag(response),
                _response=response,
                _decoder=decoder,
                _deadline=deadline,
            )
        finally:
            _let_go(response)

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
        *fallible, last = _routes(authenticated=request.token is not None)
        for route in fallible:
            try:
                return await self._get(_path(route, request), request, etag, deadline)
            except HomeserverRefusalError as refusal:
                if not _try_next(refusal, authenticated=request.token is not None):
                    raise
        return await self._get(_path(last, request), request, etag, deadline)

    async def _get(
        self, path: str, request: MediaRequest, etag: str | None, deadline: float
    ) -> aiohttp.ClientResponse:
        headers = _headers(request.token, request.forwarded)
        if etag is not None:
            headers["If-None-Match"] = etag
        response = await self._send(path, headers, deadline)
        if response.status == _NOT_MODIFIED and etag is None:
            _let_go(response)
            raise HomeserverError("the homeserver answered 304, which nobody asked for")
        return response

    async def _get_json(self, path: str, token: str | None, forwarded: Forwarded) -> dict[str, object]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        response = await self._send(path, _headers(token, forwarded), deadline)
        try:
            if response.status != _OK:
                raise HomeserverError(f"the homeserver answered {response.status}, which nobody asked for")
            return await json_body(response, deadline)
        finally:
            _let_go(response)

    async def _send(self, path: str, headers: Mapping[str, str], deadline: float) -> aiohttp.ClientResponse:
        """Return the answer if it is 200 or 304, read the refusal if not; time runs from the queue on."""
        url = URL(self._base + path, encoded=True)
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session().get(
                    url, headers=headers, allow_redirects=False, proxy=self._proxy
                )
        except TimeoutError:
            raise HomeserverError("the homeserver did not answer in time (download.timeout)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HomeserverError(f"the homeserver can't be reached: {name_of(error)}") from error
        if response.status in {_OK, _NOT_MODIFIED}:
            return response
        try:
            raise await refusal(response, deadline)
        finally:
            _let_go(response)

    def _session(self) -> aiohttp.ClientSession:
        """Open it with the first request: a session belongs to a running event loop."""
        if self._open_session is None:
            self._open_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_concurrent),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,  # `matrix.response` decodes, and notices a stream that is cut
            )
        return self._open_session


def _routes(*, authenticated: bool) -> tuple[str, ...]:
    """Return the route prefixes to ask, in order.

    With a token the authenticated one, and the old ones only for a homeserver that does not know
    it. Without one the old ones; where all say "not found", the authenticated one says whether a
    token is what was missing.
    """
    return (_AUTHENTICATED, *_LEGACY) if authenticated else (*_LEGACY, _AUTHENTICATED)


def _try_next(refusal: HomeserverRefusalError, *, authenticated: bool) -> bool:
    if authenticated:
        return refusal.errcode == "M_UNRECOGNIZED"
    return refusal.status == _NOT_FOUND or refusal.errcode == "M_UNRECOGNIZED"


def _path(route: str, request: MediaRequest) -> str:
    """Return the path; the reference is grammar-checked, so quoting only touches IPv6 brackets."""
    place = f"{quote(request.ref.server_name, safe=':')}/{quote(request.ref.media_id, safe='')}"
    size = request.thumbnail
    if size is None:
        return f"{route}/download/{place}"
    query = f"width={size.width}&height={size.height}"
    if size.method is not None:
        query += f"&method={size.method.value}"
    if size.animated is not None:
        query += f"&animated={str(size.animated).lower()}"
    return f"{route}/thumbnail/{place}?{query}"


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


def _etag(response: aiohttp.ClientResponse) -> str | None:
    """Return the ETag as the homeserver wrote it (Synapse's has no quotes), to be sent back to it alone."""
    etag = header(response, "ETag")
    return etag if etag and etag.isascii() and len(etag) <= _LONGEST_ETAG else None


def _let_go(response: aiohttp.ClientResponse) -> None:
    """Keep the connection for the next request if this answer was read to its end, cut it if not."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD and value.isprintable()

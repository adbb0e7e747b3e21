"""The homeserver as a client sees it: media, streamed with the caller's own token, and whoami.

Everything it answers is hostile: headers are picked by name, error bodies bounded, redirects
never followed, and an answer that we didn't ask for (206, 304) is an error. The token goes to
the configured base URL and nowhere else. Which route is asked first stands in `_routes`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from ostiary.errors import HomeserverError, HomeserverRefusalError
from ostiary.model import MediaRequest

VIA: Final = "ostiary"
"""Our pseudonym in `Via` (RFC 9110, 7.6.3): a request that carries it has been here before."""

_AUTHENTICATED: Final = "/_matrix/client/v1/media"
_LEGACY: Final = ("/_matrix/media/v3", "/_matrix/media/r0")
_ERROR_BODY: Final = 1 << 16
_READ: Final = 1 << 16
_OK: Final = 200
_NOT_FOUND: Final = 404
_FIRST_ERROR: Final = 400


@dataclass(frozen=True, slots=True)
class Download:
    """An answer whose headers are here and whose body is still to come.

    `size` is None where the homeserver did not announce it. The body must be read inside the
    context that gave the Download.
    """

    size: int | None
    content_type: str | None
    content_disposition: str | None
    _response: aiohttp.ClientResponse
    _deadline: float

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body; HomeserverError where it is cut short or comes too late."""
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    chunk = await self._response.content.readany()
            except TimeoutError:
                raise HomeserverError("the homeserver sends too slowly (download.timeout)") from None
            except (aiohttp.ClientError, OSError) as error:
                raise HomeserverError(f"the homeserver's answer was cut short: {_name(error)}") from error
            if not chunk:
                return
            yield chunk


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
        self._headers = {"User-Agent": "ostiary", **(headers or {}), "Accept-Encoding": "identity"}
        self._headers["Via"] = f"1.1 {VIA}"
        self._open_session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._open_session is not None:
            await self._open_session.close()

    @asynccontextmanager
    async def media(self, request: MediaRequest) -> AsyncIterator[Download]:
        """Open the media; HomeserverRefusalError where the homeserver says no."""
        deadline = asyncio.get_running_loop().time() + self._timeout
        response = await self._first_answer(request, deadline)
        try:
            yield Download(
                size=_announced_size(response),
                content_type=_header(response, "Content-Type"),
                content_disposition=_header(response, "Content-Disposition"),
                _response=response,
                _deadline=deadline,
            )
        finally:
            _let_go(response)

    async def whoami(self, token: str) -> str:
        """Return the user ID that the token belongs to; HomeserverRefusalError (401) for a bad one."""
        answer = await self._get_json("/_matrix/client/v3/account/whoami", token)
        user = answer.get("user_id")
        if not isinstance(user, str) or not user.startswith("@"):
            raise HomeserverError("the homeserver's whoami names no user")
        return user

    async def versions(self) -> tuple[str, ...]:
        """Return the spec versions that the homeserver speaks: the cheapest sign of life."""
        answer = await self._get_json("/_matrix/client/versions", None)
        versions = answer.get("versions")
        if not isinstance(versions, list) or not all(isinstance(version, str) for version in versions):
            raise HomeserverError("the answer to /_matrix/client/versions is not a homeserver's")
        return tuple(versions)

    async def _first_answer(self, request: MediaRequest, deadline: float) -> aiohttp.ClientResponse:
        *fallible, last = _routes(authenticated=request.token is not None)
        for route in fallible:
            try:
                return await self._get(_path(route, request), request, deadline)
            except HomeserverRefusalError as refusal:
                if not _try_next(refusal, authenticated=request.token is not None):
                    raise
        return await self._get(_path(last, request), request, deadline)

    async def _get(self, path: str, request: MediaRequest, deadline: float) -> aiohttp.ClientResponse:
        headers = dict(request.forwarded)
        if request.token is not None:
            headers["Authorization"] = f"Bearer {request.token}"
        return await self._send(path, headers, deadline)

    async def _get_json(self, path: str, token: str | None) -> dict[str, object]:
        deadline = asyncio.get_running_loop().time() + self._timeout
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = await self._send(path, headers, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await _json_body(response)
        except TimeoutError:
            raise HomeserverError("the homeserver sends too slowly (download.timeout)") from None
        finally:
            _let_go(response)

    async def _send(self, path: str, headers: Mapping[str, str], deadline: float) -> aiohttp.ClientResponse:
        """Return the answer if it is 200, read the refusal if not; time runs from the queue on."""
        url = URL(self._base + path, encoded=True)
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session().get(
                    url, headers=headers, allow_redirects=False, proxy=self._proxy
                )
                if response.status == _OK:
                    return response
                try:
                    raise await _refusal(response)
                finally:
                    _let_go(response)
        except TimeoutError:
            raise HomeserverError("the homeserver did not answer in time (download.timeout)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HomeserverError(f"the homeserver can't be reached: {_name(error)}") from error

    def _session(self) -> aiohttp.ClientSession:
        """Open it with the first request: a session belongs to a running event loop."""
        if self._open_session is None:
            self._open_session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_concurrent),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
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


def _let_go(response: aiohttp.ClientResponse) -> None:
    """Keep the connection for the next request if this answer was read to its end, cut it if not."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _announced_size(response: aiohttp.ClientResponse) -> int | None:
    """Return the body's size; a compressed body's length says nothing about what comes out."""
    return None if "Content-Encoding" in response.headers else response.content_length


def _header(response: aiohttp.ClientResponse, name: str) -> str | None:
    value = response.headers.get(name)
    return value if value and value.isprintable() else None


async def _json_body(response: aiohttp.ClientResponse) -> dict[str, object]:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_READ):
        body += chunk
        if len(body) > _ERROR_BODY:
            raise HomeserverError("the homeserver's JSON answer is too long")
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise HomeserverError("the homeserver's answer is not the JSON it should be")
    return parsed


async def _refusal(response: aiohttp.ClientResponse) -> HomeserverError | HomeserverRefusalError:
    """Read a Matrix error; what is no such thing (a proxy's page, a redirect) keeps its status only."""
    if response.status < _FIRST_ERROR:
        return HomeserverError(f"the homeserver answered {response.status}, which nobody asked for")
    try:
        body = await _json_body(response)
    except HomeserverError:
        body = {}
    errcode, error = body.get("errcode"), body.get("error")
    soft_logout, retry_after_ms = body.get("soft_logout"), body.get("retry_after_ms")
    retry_after = response.headers.get("Retry-After", "")
    return HomeserverRefusalError(
        response.status,
        errcode if isinstance(errcode, str) and errcode else "M_UNKNOWN",
        error[:500] if isinstance(error, str) else "no reason given",
        soft_logout=soft_logout if isinstance(soft_logout, bool) else None,
        retry_after_ms=_count(retry_after_ms),
        retry_after=retry_after if retry_after.isascii() and retry_after.isdigit() else None,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _name(error: BaseException) -> str:
    """Name an error of the HTTP client without its URL or headers."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

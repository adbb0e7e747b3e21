"""HTTPS to servers that strangers name: public addresses only, and nothing of ours in the requests.

Below `ostiary.matrix.direct`. Every address is checked twice: when a name is looked up, and again when
the socket to that very address is made, which also catches IP literals and is too late for a second
lookup to say something else. TLS is always verified. No cookie, no token, no proxy, no connection kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ostiary.errors import HomeserverError
from ostiary.matrix.delegation import redirected
from ostiary.matrix.public_address import is_public
from ostiary.matrix.response import header, name_of

MOST_REDIRECTS: Final = 3
"""Redirects that are followed from one request."""

MOST_ADDRESSES: Final = 2
"""IPv6 and again IPv4 addresses of one name that are tried: nobody's DNS makes us knock at every door."""

_MOST_ANSWERS: Final = 64  # addresses of one name that are looked at
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LOOKUPS: Final = 32  # at a time; threads of their own, so that slow name servers delay nobody else
_SHARE: Final = 4  # one server may hold a quarter of all connections

AddressCheck = Callable[[str], bool]
"""Says whether an IP address may be connected to."""

Lookup = Callable[[str, int], Iterable[tuple[str, int]]]
"""Returns a host's addresses, each with the port; OSError if there are none. May block."""


def look_up(host: str, port: int) -> Iterable[tuple[str, int]]:
    """Ask the system's resolver about a name as it stands: a dot at its end keeps search domains out."""
    absolute = host.rstrip(".").encode("ascii") + b"."
    found = socket.getaddrinfo(absolute, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [(str(place[0]), int(place[1])) for _, _, _, _, place in found]


class PublicClient:
    """Sends GET requests to anybody; a context for TLS may bring other authorities than the system's."""

    def __init__(
        self,
        *,
        user_agent: str,
        via: str,
        max_concurrent: int,
        check: AddressCheck = is_public,
        lookup: Lookup = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._headers = {"User-Agent": user_agent, "Via": via, "Accept-Encoding": "identity"}
        self._max_concurrent = max_concurrent
        self._check = check
        self._resolver = _Resolver(lookup, check)
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._open_session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._open_session is not None:
            await self._open_session.close()
        await self._resolver.close()  # aiohttp leaves what it was given

    async def get(
        self, url: str, deadline: float, *, host: str | None = None, headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """Return the first answer that is no redirect, whatever its status; the caller closes it.

        `url` is in the grammar of `ostiary.matrix.delegation`, `host` its Host header where that differs,
        `deadline` a time of the event loop. HomeserverError where nobody answers, or redirects don't end.
        """
        more = dict(headers or {})
        response = await self._send(url, more if host is None else {**more, "Host": host}, deadline)
        for _ in range(MOST_REDIRECTS):
            if response.status not in _REDIRECTS:
                return response
            response.close()  # whatever its body is
            url = redirected(url, header(response, "Location"))
            response = await self._send(url, more, deadline)
        if response.status in _REDIRECTS:
            response.close()
            raise HomeserverError("the media's server redirects too often")
        return response

    async def _send(self, url: str, headers: Mapping[str, str], deadline: float) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._session().get(
                    URL(url, encoded=True), headers=headers, allow_redirects=False
                )
        except TimeoutError:
            raise HomeserverError("the media's server did not answer in time (download.timeout)") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HomeserverError(f"the media's server can't be reached: {_reason(error)}") from error

    def _session(self) -> aiohttp.ClientSession:
        """Open it with the first request: a session belongs to a running event loop."""
        if self._open_session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=self._socket,
                use_dns_cache=False,  # a lookup ends with its request, and nothing grows
                ssl=self._tls,
                limit=self._max_concurrent,
                limit_per_host=max(1, self._max_concurrent // _SHARE),
                force_close=True,  # a pool of servers that anybody can name is one that anybody can fill
            )
            self._open_session = aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,  # `matrix.response` decodes, and notices a stream that is cut
                trust_env=False,  # neither a proxy nor the passwords of a .netrc
            )
        return self._open_session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket that will be connected to this address, if it may be."""
        family, kind, protocol, _, place = info
        if not self._check(str(place[0])):
            raise _no_public_address()
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own, and keeps the addresses that pass the check."""

    def __init__(self, lookup: Lookup, check: AddressCheck) -> None:
        self._lookup = lookup
        self._check = check
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  (any will do; the base class has it)
    ) -> list[ResolveResult]:
        """Return the addresses that may be connected to; OSError if there are none."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except (OSError, UnicodeError) as error:
            raise _no_public_address() from error
        allowed = [place for place in islice(found, _MOST_ANSWERS) if self._check(place[0])]
        if not allowed:
            raise _no_public_address()
        version_6 = [place for place in allowed if ":" in place[0]]
        version_4 = [place for place in allowed if ":" not in place[0]]
        return [_result(host, *place) for place in version_6[:MOST_ADDRESSES] + version_4[:MOST_ADDRESSES]]

    async def close(self) -> None:
        """Take no more lookups. One that still runs ends when the system's resolver gives up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


def _no_public_address() -> OSError:
    """One text for no address and for a private one: nobody maps our network's names by asking."""
    return OSError(0, "it has no public address")


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid for its name"
    if isinstance(error, aiohttp.InvalidURL):
        return "its name can't be looked up"
    return name_of(error)

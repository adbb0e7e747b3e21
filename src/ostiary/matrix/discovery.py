"""From a server name to the endpoint that serves its media: well-known delegation, bounded and cached.

Used by `ostiary.matrix.direct`. Media downloads are client-server API, so the client's well-known file
comes first, then the server's, then port 8448 of the name itself. A name that says where it is (a port,
an IP literal) is never delegated. docs/development/decisions.md has the reasons.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from ostiary.errors import HomeserverError, MalformedRequestError
from ostiary.matrix.delegation import (
    Endpoint,
    client_endpoint,
    federation_endpoint,
    max_age,
    says_where,
    server_endpoint,
)
from ostiary.matrix.public_client import PublicClient
from ostiary.matrix.response import body, decoder_of, header
from ostiary.wire.strict_json import parse_object

MOST_NAMES: Final = 2000
"""Server names whose endpoint is remembered."""

MOST_BYTES: Final = 16 << 10
"""Bytes of a well-known file; real ones have a few hundred."""

# Matrix server-server API, "Resolving server names", step 3; the lower bounds are ours, against a server
# that makes us ask for every media.
LONGEST: Final = 48 * 3600.0
USUAL: Final = 24 * 3600.0
SHORTEST: Final = 300.0
LONGEST_FAILURE: Final = 3600.0
SHORTEST_FAILURE: Final = 60.0

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a name. `failures`: how often in a row no usable well-known file was found."""

    endpoint: Endpoint
    until: float
    failures: int


@dataclass(slots=True)
class _Turn:
    """One name's lock, which goes when nobody holds it or waits for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Discovery:
    """Finds endpoints; each well-known file gets `patience` seconds. `clock` counts seconds."""

    def __init__(self, client: PublicClient, *, patience: float, clock: Callable[[], float]) -> None:
        self._client = client
        self._patience = patience
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._turns: dict[str, _Turn] = {}

    async def endpoint(self, server_name: str, deadline: float) -> Endpoint:
        """Return where to ask this server, by a time of the event loop; HomeserverError otherwise.

        Of many who want the same name at once, one asks. If that one is cancelled, the next one does.
        """
        if says_where(server_name):
            return federation_endpoint(server_name)
        name = server_name.lower()  # DNS does not care, and nobody fills the cache with spellings
        fresh = self._fresh(name)
        if fresh is not None:
            return fresh
        try:
            async with asyncio.timeout_at(deadline), self._turn(name):
                return self._fresh(name) or await self._discover(name)
        except TimeoutError:
            raise HomeserverError("where the media's server is was not found in time") from None

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(name, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[name]

    def _fresh(self, name: str) -> Endpoint | None:
        known = self._known.get(name)
        if known is None or known.until <= self._clock():
            return None
        self._known.move_to_end(name)
        return known.endpoint

    async def _discover(self, name: str) -> Endpoint:
        base = f"https://{name}/.well-known/matrix"
        found = await self._well_known(f"{base}/client", client_endpoint)
        found = found or await self._well_known(f"{base}/server", server_endpoint)
        known = self._failed(name) if found is None else _Known(found[0], self._clock() + found[1], 0)
        self._known[name] = known
        self._known.move_to_end(name)
        if len(self._known) > MOST_NAMES:
            self._known.popitem(last=False)
        return known.endpoint

    def _failed(self, name: str) -> _Known:
        """Return the name's own endpoint, for a minute; twice as long with each failure in a row."""
        before = self._known.get(name)
        failures = 0 if before is None else min(before.failures, 10)
        kept = min(SHORTEST_FAILURE * 2**failures, LONGEST_FAILURE)
        return _Known(federation_endpoint(name), self._clock() + kept, failures + 1)

    async def _well_known(
        self, url: str, read: Callable[[Mapping[str, object]], Endpoint | None]
    ) -> tuple[Endpoint, float] | None:
        """Return an endpoint and the seconds for which it holds; None for a missing or unusable file."""
        deadline = asyncio.get_running_loop().time() + self._patience
        try:
            response = await self._client.get(url, deadline)
            try:
                endpoint = read(await _json_of(response, deadline))
                kept = max_age(header(response, "Cache-Control"))
            finally:
                response.close()
        except (HomeserverError, MalformedRequestError):
            return None
        if endpoint is None:
            return None
        return endpoint, USUAL if kept is None else min(max(kept, SHORTEST), LONGEST)


async def _json_of(response: aiohttp.ClientResponse, deadline: float) -> Mapping[str, object]:
    if response.status != _OK:
        raise HomeserverError("there is no well-known file")
    text = bytearray()
    async for chunk in body(response, decoder_of(response), deadline):
        text += chunk
        if len(text) > MOST_BYTES:
            raise HomeserverError("the well-known file is too long")
    return parse_object(bytes(text))

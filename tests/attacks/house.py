"""What the attacks share: a gateway that remembers, callers it should not trust, and who is told what."""

import re
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from tests.matrix.fake_homeserver import FakeHomeserver, Received, Reply, error
from tests.web.door import API, V1, V3, Door, opened

PLACE: Final = "example.org/AbC-_1"
"""What the bodies of tests.web.clients name, too."""

UNKNOWN: Final = error(401, "M_UNKNOWN_TOKEN", "who?")
GONE: Final = error(404, "M_NOT_FOUND", "no such media")


def remembering(directory: Path, *engines: Any, **details: Any) -> AbstractAsyncContextManager[Door]:  # noqa: ANN401
    """Open a front with a library and a cache of verdicts."""
    return opened(directory, engines, **{"library": 16 << 20, "verdicts": 1000, **details})


def told_apart(homeserver: FakeHomeserver, good: Callable[[Received], bool], reply: bytes) -> Reply:
    """Answer whoever is good; all others have a token that nobody knows."""

    async def answer(_: object, writer: Any) -> None:  # noqa: ANN401  (a StreamWriter)
        writer.write(reply if good(homeserver.received[-1]) else UNKNOWN)
        await writer.drain()

    return answer


def with_token(*tokens: str) -> Callable[[Received], bool]:
    """Return what says whether a request carries one of these tokens."""
    return lambda request: request.header("authorization") in [[f"Bearer {token}"] for token in tokens]


def places(place: str = PLACE) -> tuple[str, ...]:
    """Return the homeserver's paths of a media."""
    return tuple(f"{route}/download/{place}" for route in (V1, V3, "/_matrix/media/r0"))


def give(homeserver: FakeHomeserver, reply: Reply, place: str = PLACE, only: Collection[str] = ()) -> None:
    """Have the homeserver answer so for the media, on all routes or those whose path holds one of `only`."""
    for path in places(place):
        if not only or any(part in path for part in only):
            homeserver.replies[path] = reply


def fetched(homeserver: FakeHomeserver) -> int:
    """Return how often media was asked for."""
    return sum("/media/" in path for path in homeserver.paths)


def statuses(got: bytes) -> list[int]:
    """Return the status of each response in a stream of bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)]


def raw_get(target: str, *headers: str) -> bytes:
    """Return a request for a route of the scanner API, or an absolute target."""
    path = target if target.startswith("/") else f"{API}/{target}"
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()

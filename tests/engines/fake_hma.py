"""A Hasher-Matcher-Actioner in miniature: its HTTP API as documented, with digests for hashes.

The real one is not published as a package, and needs PostgreSQL and faiss. This one speaks what
facebook.github.io/ThreatExchange/hma/api.html and the public source of its routes say: the same
paths, parameters, statuses and bodies, in the form of lookups before 2025 and since. Like the
servers that run the real one, it takes no upload without a length. Faults are set by the test.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import BodyPartReader, web

TYPES: Final = {"photo": ("pdq",), "video": ("video_md5",)}
"""The signal types of each content type."""

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


@dataclass
class FakeHma:
    """What it knows, what it was asked, and what is wrong with it."""

    url: str = ""
    banks: dict[str, set[str]] = field(default_factory=dict)
    """The digests (hex) in each bank."""

    bare_names: bool = False
    """Answer lookups as releases before 2025 did: a list of names."""

    built: int = 1_700_146_048
    ready: bool = True
    fault: Fault | None = None
    asked: list[str] = field(default_factory=list)
    largest: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.asked.append(f"{request.method} {request.path}")
        if self.fault is not None and (faulty := await self.fault(request)) is not None:
            return faulty
        match request.method, request.path:
            case "GET", "/status":
                return web.Response(text="I-AM-ALIVE")
            case "GET", "/m/index/status":
                state = {"present": self.ready, "built_to": self.built, "size": len(self.banks)}
                return web.json_response(
                    {"pdq": state, "video_md5": {"present": False, "built_to": -1, "size": 0}}
                )
            case "POST", "/h/hash":
                return await self._hashes(request)
            case "GET", "/m/lookup":
                return self._banks(request)
        return web.Response(status=404)

    async def _hashes(self, request: web.Request) -> web.Response:
        if request.content_length is None:
            return _refusal(400, "Missing multipart/form-data file upload")
        form = await request.multipart()
        part = await form.next()
        if not isinstance(part, BodyPartReader) or not part.filename:
            return _refusal(400, "Missing multipart/form-data file upload")
        content_type = part.name
        if content_type not in TYPES:
            return _refusal(400, f"no such content_type: '{content_type}'")
        data = b""
        while piece := await part.read_chunk(1 << 20):
            data += piece
        if await form.next() is not None:
            return _refusal(400, "Only one file allowed per request")
        self.largest = max(self.largest, len(data))
        return web.json_response({name: digest_of(data) for name in TYPES[content_type]})

    def _banks(self, request: web.Request) -> web.Response:
        signal, signal_type = request.query.get("signal"), request.query.get("signal_type")
        if not signal or signal_type not in {name for names in TYPES.values() for name in names}:
            return _refusal(400, "signal_type is required")
        if not self.ready:
            return _refusal(503, "index not yet ready")
        found = [bank for bank, signals in self.banks.items() if signal in signals]
        if self.bare_names:
            return web.json_response(found)
        return web.json_response({bank: [{"bank_content_id": 1, "distance": "0"}] for bank in found})


@asynccontextmanager
async def fake_hma(*, port: int = 0) -> AsyncIterator[FakeHma]:
    """Give one that listens, on the running event loop."""
    hma = FakeHma()
    runner = web.ServerRunner(web.Server(hma.answer), shutdown_timeout=0.1)  # type: ignore[arg-type]  # all answer
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        hma.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield hma
    finally:
        await runner.cleanup()


def digest_of(data: bytes) -> str:
    """Return what it calls the hash of these bytes."""
    return hashlib.sha256(data).hexdigest()


async def silence(_request: web.Request) -> None:
    """Say nothing, for longer than anybody waits."""
    await asyncio.sleep(60)


def says(status: int, body: bytes = b"", path: str = "", **headers: str) -> Fault:
    """Return a fault: this answer, to this path or to all."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if path and request.path != path:
            return None
        return web.Response(status=status, body=body, headers=headers)

    return fault


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)

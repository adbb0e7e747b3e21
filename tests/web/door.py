"""The whole front on a free port: real HTTP and flow, scripted engines, a homeserver that says anything."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from ostiary.budget import Budget
from ostiary.inspection import Station
from ostiary.matrix.envelope import Envelope
from ostiary.matrix.homeserver import Homeserver
from ostiary.policy import Rules
from ostiary.web.health import Health
from ostiary.web.http_server import HttpServer
from ostiary.web.scanner_api import ScannerApi
from ostiary.web.server import Front
from tests.flow.fakes import House, ScriptedEngine
from tests.matrix.fake_homeserver import FakeHomeserver, json_object

HOST: Final = "127.0.0.1"
API: Final = "/_matrix/media_proxy/unstable"
V1: Final = "/_matrix/client/v1/media"
V3: Final = "/_matrix/media/v3"
WHOAMI: Final = "/_matrix/client/v3/account/whoami"


@dataclass
class Standing:
    """How the engines stand: well, unless a test says otherwise."""

    settled: bool = True
    untrusted: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: "CIMultiDict[str]"
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  (JSON)
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        """Status and reason of a refusal, after a look at the rest of what every refusal has."""
        body = self.json
        assert body["reason"]
        assert body["errcode"]
        assert body["info"] == body["error"]
        assert body["info"]
        assert self.headers["Content-Type"] == "application/json"
        assert self.headers["Access-Control-Allow-Origin"] == "*"
        assert self.headers["Cache-Control"] == "no-store"
        return self.status, body["reason"]


@dataclass(frozen=True)
class Door:
    """A running front: `house` is behind it, `homeserver` behind that."""

    homeserver: FakeHomeserver
    house: House
    envelope: Envelope
    requests: Budget
    health: Health
    port: int
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    @property
    def quiet(self) -> bool:
        """Whether nothing is held by anybody."""
        return self.house.held == (0, 0) and self.requests.used == 0

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        token: str | None = "tok",
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        """Ask; `path` is absolute, or a route of the scanner API. A body that is a dict is sent as JSON."""
        url = self.url + (path if path.startswith("/") else f"{API}/{path}")
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        if isinstance(data, bytes):
            data = io.BytesIO(data)  # or aiohttp warns of large ones
        async with self.session.request(method, url, headers=sent, data=data) as response:
            return Answer(response.status, CIMultiDict(response.headers), await response.read())

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection for what no HTTP client would send."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def raw(self, data: bytes) -> bytes:
        """Send bytes and return all that comes back until the other side closes, within ten seconds."""
        async with self.connection() as (reader, writer), asyncio.timeout(10):
            writer.write(data)
            return await reader.read()

    def metric(self, name: str, **labels: str) -> float | None:
        """Return a metric's value."""
        return self.house.metrics.registry.get_sample_value(f"content_scanner_{name}", labels)


@asynccontextmanager
async def opened(
    directory: Path,
    engines: Sequence[ScriptedEngine | Station] = (),
    *,
    requests: int = 100,
    wait: float = 5,
    idle: float = 10,
    most: int = 1000,
    headers_to_forward: Sequence[str] = (),
    rules: Rules | None = None,
    max_size: int = 8 << 20,
    memory: int = 64 << 20,
    library: int = 0,
    verdicts: int = 0,
    check: Literal["token", "media", "none"] = "token",
) -> AsyncIterator[Door]:
    """Build it, serve, and take it down again; without engines one calls everything clean."""
    async with AsyncExitStack() as stack:
        homeserver = await stack.enter_async_context(FakeHomeserver())
        homeserver.replies[WHOAMI] = json_object(user_id="@alice:example.org")
        client = Homeserver(homeserver.url, timeout=20, max_concurrent=50)
        stack.push_async_callback(client.close)
        house = stack.enter_context(
            House(
                directory,
                client,
                engines or [ScriptedEngine()],
                wait=wait,
                rules=rules,
                max_size=max_size,
                memory=memory,
                library=library,
                verdicts=verdicts,
                check=check,
            )
        )
        envelope = Envelope(bytes(range(32)))
        api = ScannerApi(house.gateway, house.access, envelope, headers_to_forward, idle)
        places = Budget("requests", requests, wait)
        health = Health((places, house.spool.memory, house.spool.disk), Standing(), loaded=True)
        server = HttpServer(Front(api.handle, health, places, house.metrics), idle, most)
        port = await _listen(stack, server)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        )
        yield Door(homeserver, house, envelope, places, health, port, session)


async def _listen(stack: AsyncExitStack, server: web.Server) -> int:
    runner = web.ServerRunner(server, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, HOST, 0).start()
    port: int = runner.addresses[0][1]
    return port

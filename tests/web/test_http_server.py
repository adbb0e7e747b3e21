"""What a client can hold without being let in: connections, heads of requests, answers it does not take."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import uvloop
from aiohttp import ClientConnectionError

from tests.attacks.house import raw_get, statuses
from tests.flow.fakes import until
from tests.matrix.fake_homeserver import media, silent_after
from tests.web.door import HOST, Door, opened

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Return what runs a coroutine on a loop of its own: bounds must hold on the one that we serve with."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


def connected(door: Door, *, receive: int | None = None) -> socket.socket:
    """Return a connection to it, with a small buffer for what it sends if that is asked for."""
    client = socket.socket()
    if receive is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    client.connect((HOST, door.port))
    client.setblocking(False)
    return client


async def ended(client: socket.socket) -> bool:
    """Wait until the other end closed or reset the connection."""
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            while await loop.sock_recv(client, 1 << 16):
                pass
    return True


async def test_a_client_that_takes_no_answer_is_cut(tmp_path: Path) -> None:
    """Who asks and asks and never reads is cut off after `limits.idle`, whatever it asked for."""
    async with opened(tmp_path, idle=0.3) as door:
        with connected(door, receive=4096) as client:
            before = asyncio.get_running_loop().time()
            with suppress(ConnectionError):
                while asyncio.get_running_loop().time() < before + 20:
                    try:
                        client.send(GET * 100)
                    except BlockingIOError:
                        await asyncio.sleep(0.01)
                pytest.fail("it was never cut off")
        assert (await door.ask("/health")).status == 200


def test_the_head_of_a_request_is_bounded(tmp_path: Path, run: Run) -> None:
    """Headers without an end are cut off at 64 KiB; a request of ordinary size never is."""
    run(_heads(tmp_path))


async def _heads(directory: Path) -> None:
    async with opened(directory, idle=60) as door:
        with connected(door) as client:
            loop = asyncio.get_running_loop()
            with suppress(ConnectionError):
                await loop.sock_sendall(client, b"GET /health HTTP/1.1\r\n")
                for number in range(60):
                    await loop.sock_sendall(client, b"X-%d: " % number + b"x" * 4000 + b"\r\n")
                    await asyncio.sleep(0)
            assert await ended(client)
        with connected(door) as client:
            await loop.sock_sendall(client, GET[:-2] + b"X: " + b"x" * 8000 + b"\r\n\r\n")
            assert b" 200 " in await loop.sock_recv(client, 1 << 16)


async def test_a_body_does_not_count_as_a_head(tmp_path: Path) -> None:
    """A large body that is refused early is answered, not cut off as a head without an end."""
    async with opened(tmp_path) as door:
        got = await door.raw(
            b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n"
            + bytes(300_000)
        )
        assert got.startswith(b"HTTP/1.1 404 ")


def test_connections_are_counted(tmp_path: Path, run: Run) -> None:
    """Beyond the most that may be open, new ones are closed at once; those inside work on."""
    run(_connections(tmp_path))


async def _connections(directory: Path) -> None:
    async with opened(directory, most=5) as door, asyncio.timeout(30):
        loop = asyncio.get_running_loop()
        with ExitStack() as held:
            inside = [held.enter_context(connected(door)) for _ in range(5)]
            for client in inside:
                await loop.sock_sendall(client, GET)
                assert b" 200 " in await loop.sock_recv(client, 1 << 16)
            with connected(door) as outside:
                assert await ended(outside)
            await loop.sock_sendall(inside[0], GET)
            assert b" 200 " in await loop.sock_recv(inside[0], 1 << 16)
        free = False
        while not free:  # until those inside are heard closing
            with suppress(ClientConnectionError):
                free = (await door.ask("/health")).status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"GET /_matrix/media_proxy/unstable/download/a/b",
        b"GET /_matrix/media_proxy/unstable/download/a/b HTTP/0.9",
        b"GET /_matrix/media_proxy/unstable/download/a/b HTTP/2.0",
        b"OPTIONS * HTTP/2.0",
    ],
)
async def test_versions_that_are_not_spoken(door: Door, line: bytes) -> None:
    """HTTP/0.9 and 2.0 look otherwise than what the parser reads: such a request is none, and ends there."""
    got = await door.raw(line + b"\r\nHost: x\r\n\r\n")
    assert got.split(b"\r\n")[0].endswith(b" 400 Bad Request")
    assert door.homeserver.received == []


def test_garbage_behind_a_request(tmp_path: Path, run: Run) -> None:
    """What waits is answered, then the garbage behind it, once; more than 64 KiB of it are cut off."""
    run(_garbage(tmp_path))


async def _garbage(directory: Path) -> None:
    async with opened(directory) as door:
        loop, asked, ends = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        async def late(_: object, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await ends.wait()
            writer.write(media(b"text"))

        door.homeserver.otherwise = late
        with connected(door) as client, connected(door) as flood:
            for one, name in ((client, "b"), (flood, "c")):  # the same media would be one run
                asked.clear()
                await loop.sock_sendall(one, raw_get(f"download/a/{name}"))
                await asked.wait()
                await loop.sock_sendall(one, b"x" * 1000)
                await asyncio.sleep(0.01)
                await loop.sock_sendall(one, GET)  # nobody can tell that this is a request
            assert door.requests.used == 2
            with suppress(ConnectionError):
                async with asyncio.timeout(20):
                    while True:
                        await loop.sock_sendall(flood, b"x" * 1000)
            await until(lambda: door.requests.used == 1)
            ends.set()
            got = b""
            while piece := await loop.sock_recv(client, 1 << 16):
                got += piece
            assert statuses(got) == [200, 400]


def test_whoever_goes_away_is_noticed_behind_garbage(tmp_path: Path, run: Run) -> None:
    """A client that leaves while its request waits gives its place back, whatever it sent behind it."""
    run(_leaving(tmp_path))


async def _leaving(directory: Path) -> None:
    async with opened(directory) as door:
        door.homeserver.otherwise = silent_after(b"")
        for behind in (b"", b"x" * 1000, GET):
            with connected(door) as client:
                await asyncio.get_running_loop().sock_sendall(client, raw_get("download/a/b"))
                await until(lambda: door.requests.used == 1)
                await asyncio.get_running_loop().sock_sendall(client, behind)
                await asyncio.sleep(0.01)
            await until(lambda: door.quiet)
